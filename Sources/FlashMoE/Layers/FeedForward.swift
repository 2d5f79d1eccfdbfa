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
      normalize(0..<rows, weight: weights.feedForwardNorm, quantizes: gateUp.usesInt8)
      dense(gateUp: gateUp, down: down, inner: inner, rows: rows)
      addUpdate(0..<rows)
      clock.lap(&times.experts)
    case .experts(let router, let storeLayer):
      var clock = PhaseClock()
      let shape = self.weights.experts[storeLayer]
      let quantizes = shape.usesInt8 && shape.gateUp.scheme.isQuantized
      normalize(
        0..<rows, weight: weights.feedForwardNorm, quantizes: quantizes || router.usesInt8)
      if rows == 1 { routeStep(router, layer: layer) } else { route(router, rows: rows) }
      routerObserver?(layer, scratch.chosen, scratch.chosenWeights, rows)
      showRouting(storeLayer, rows: rows)
      clock.lap(&times.router)
      if isStep(rows: rows) {
        try stepExperts(layer, storeLayer: storeLayer, shape: shape, rows: rows)
      } else {
        try chunkExperts(layer, storeLayer: storeLayer, shape: shape, rows: rows)
      }
      clock.restart()
      addUpdate(0..<rows)
      clock.lap(&times.experts)
    }
  }

  /// Tells the cache what the router said about every row.
  private func showRouting(_ storeLayer: Int, rows: Int) {
    guard let streamer else { return }
    for row in 0..<rows {
      streamer.observe(
        layer: storeLayer, row: row,
        probabilities: scratch.routerLogits + row * router.expertCount,
        chosen: UnsafeBufferPointer(
          start: scratch.chosen + row * router.perToken, count: router.perToken))
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
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// update = down(silu(gate) * up), in tiles of rows.
  private func dense(gateUp: Matrix, down: Matrix, inner: Int, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    var row = 0
    while row < rows {
      let count = min(scratch.tileRows, rows - row)
      let tile = ExpertTile(
        gateUp: gateUp, down: down, inner: inner, hiddenSize: hiddenSize,
        output: scratch.update + row * hiddenSize)
      let input = scratch.normalized.from(row: row)
      pool.run { thread in
        tile.compute(
          input, rows: count, thread: thread, scratch: scratch, pool: pool, kernels: kernels)
      }
      streamer?.poll()
      row += count
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
