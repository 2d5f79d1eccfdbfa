import CKernels
import Support
import WeightStore

/// Dense and routed feed-forwards: hidden += f(norm(hidden)).
extension Decoder {
  func feedForward(_ layer: Int, rows: Int) throws(Failure) {
    let weights = weights.layers[layer]
    switch weights.feedForward {
    case .dense(let gateUp, let down, let inner):
      var clock = PhaseClock()
      normalize(rows: rows, weight: weights.feedForwardNorm, quantizes: gateUp.usesInt8)
      dense(gateUp: gateUp, down: down, inner: inner, rows: rows)
      addUpdate(rows: rows)
      clock.lap(&times.experts)
    case .experts(let router, let storeLayer):
      var clock = PhaseClock()
      let shape = self.weights.experts[storeLayer]
      let quantizes = shape.usesInt8 && shape.gateUp.scheme.isQuantized
      normalize(
        rows: rows, weight: weights.feedForwardNorm, quantizes: quantizes || router.usesInt8)
      route(router, rows: rows)
      routerObserver?(layer, scratch.chosen, scratch.chosenWeights, rows)
      clock.lap(&times.router)
      if rows == 1 {
        try decodeExperts(layer, storeLayer: storeLayer, shape: shape)
      } else {
        try prefillExperts(storeLayer: storeLayer, shape: shape, rows: rows)
      }
      clock.restart()
      addUpdate(rows: rows)
      clock.lap(&times.experts)
    }
  }

  /// Router logits and the chosen experts of every row.
  private func route(_ matrix: Matrix, rows: Int) {
    let (kernels, pool, scratch, router) = (kernels, pool, scratch, router)
    multiply(
      matrix, scratch.normalized, rows: rows, output: scratch.routerLogits,
      outputStride: router.expertCount)
    func share(_ range: Range<Int>) {
      for row in range {
        router.choose(
          scratch.routerLogits + row * router.expertCount, kernels: kernels,
          indices: scratch.chosen + row * router.perToken,
          weights: scratch.chosenWeights + row * router.perToken)
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// update = down(silu(gate) * up), in tiles of rows.
  private func dense(gateUp: Matrix, down: Matrix, inner: Int, rows: Int) {
    var row = 0
    while row < rows {
      let count = min(scratch.tileRows, rows - row)
      expertTile(
        gateUp: gateUp, down: down, inner: inner, input: scratch.normalized.from(row: row),
        rows: count, output: scratch.update + row * configuration.hiddenSize)
      row += count
    }
  }

  /// output[t][H] = down(silu(gate(x)) * up(x)) for up to `tileRows` rows of one expert.
  func expertTile(
    gateUp: Matrix, down: Matrix, inner: Int, input: Activations, rows: Int,
    output: UnsafeMutablePointer<Float>
  ) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    let activated = scratch.activated(inner: inner)
    pool.run { thread in
      kernels.multiply(
        gateUp, blocks: pool.share(of: gateUp.blockCount, for: thread), input, rows: rows,
        output: scratch.gateUp, outputStride: scratch.gateUpStride)
      pool.barrier()
      let share = pool.share(of: rows, for: thread)
      kernels.table.pointee.swiglu(
        scratch.gateUp + share.lowerBound * scratch.gateUpStride, scratch.gateUpStride,
        share.count, inner, activated.values + share.lowerBound * activated.stride,
        activated.stride)
      if down.usesInt8 { kernels.quantize(activated, columns: inner, rows: share) }
      pool.barrier()
      kernels.multiply(
        down, blocks: pool.share(of: down.blockCount, for: thread), activated, rows: rows,
        output: output, outputStride: hiddenSize)
    }
  }
}

extension Scratch {
  /// The SwiGLU buffer seen with rows of `inner` columns.
  @inline(__always)
  func activated(inner: Int) -> Activations {
    var view = activated
    view.stride = inner
    return view
  }
}
