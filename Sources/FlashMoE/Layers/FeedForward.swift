import CKernels
import Support
import WeightStore

/// Dense and routed feed-forwards: hidden += f(norm(hidden)).
extension Decoder {
  func feedForward(_ layer: Int, rows: Int) throws(Failure) {
    let norm = weights.layers[layer].feedForwardNorm
    switch weights.layers[layer].feedForward {
    case .dense(let dense):
      var clock = PhaseClock()
      normalize(0..<rows, norm, quantizes: dense.gateUp.usesInt8)
      swiglu(dense, rows: rows)
      addUpdate(0..<rows)
      clock.lap(&times.experts)
    case .experts(let experts):
      var clock = PhaseClock()
      let shape = self.weights.experts[experts.storeLayer]
      let quantizes =
        shape.gateUpTakesInt8 || experts.router.usesInt8
        || experts.shared?.gateUp.usesInt8 == true || experts.sharedGate?.usesInt8 == true
      normalize(0..<rows, norm, quantizes: quantizes)
      if rows == 1 { routeStep(experts, layer: layer) } else { route(experts, rows: rows) }
      routerObserver?(layer, scratch.chosen, scratch.chosenWeights, rows)
      showRouting(experts.storeLayer, rows: rows)
      clock.lap(&times.router)
      if isStep(rows: rows) {
        try stepExperts(layer, storeLayer: experts.storeLayer, shape: shape, rows: rows)
      } else {
        try chunkExperts(layer, storeLayer: experts.storeLayer, shape: shape, rows: rows)
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
  private func route(_ experts: ExpertsWeights, rows: Int) {
    let (kernels, pool, scratch, router) = (kernels, pool, scratch, router)
    multiply(
      experts.router, scratch.normalized, rows: rows, output: scratch.routerLogits,
      outputStride: router.expertCount)
    func share(_ range: Range<Int>) {
      for row in range {
        router.choose(
          scratch.routerLogits + row * router.expertCount, experts, kernels: kernels,
          indices: scratch.chosen + row * router.perToken,
          weights: scratch.chosenWeights + row * router.perToken)
      }
    }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// Begins the sum that experts are added to: with the shared expert's output, or zero.
  func startUpdate(_ layer: Int, rows: Int) {
    guard case .experts(let experts) = weights.layers[layer].feedForward,
      let shared = experts.shared
    else { return scratch.update.update(repeating: 0, count: rows * configuration.hiddenSize) }
    swiglu(shared, rows: rows)
    if let gate = experts.sharedGate { scaleUpdate(by: gate, rows: rows) }
  }

  /// update = down(silu(gate) * up), in tiles of rows.
  private func swiglu(_ unit: SwiGLUWeights, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    var row = 0
    while row < rows {
      let count = min(scratch.tileRows, rows - row)
      let tile = ExpertTile(
        gateUp: unit.gateUp, down: unit.down, inner: unit.inner, hiddenSize: hiddenSize,
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

  /// update[t] *= sigmoid(gate · normalized[t])
  private func scaleUpdate(by gate: Matrix, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    func share(_ range: Range<Int>, from first: Int) {
      guard !range.isEmpty else { return }
      let gates = scratch.sharedGates + range.lowerBound
      kernels.multiply(
        gate, blocks: 0..<gate.blockCount,
        scratch.normalized.from(row: first + range.lowerBound), rows: range.count, output: gates,
        outputStride: 1)
      kernels.table.pointee.sigmoid(gates, range.count)
      for row in range {
        let update = scratch.update + (first + row) * hiddenSize
        let factor = scratch.sharedGates[row]
        for column in 0..<hiddenSize { update[column] *= factor }
      }
    }
    if rows == 1 { return share(0..<1, from: 0) }
    var first = 0
    while first < rows {
      let (start, count) = (first, min(scratch.tileRows, rows - first))
      pool.run { thread in share(pool.share(of: count, for: thread), from: start) }
      first += count
    }
  }
}

extension Router {
  /// The same for a layer's own biases.
  @inline(__always)
  func choose(
    _ logits: UnsafeMutablePointer<Float>, _ experts: ExpertsWeights, kernels: Kernels,
    indices: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
  ) {
    if let bias = experts.routerBias {
      kernels.table.pointee.multiply_add(1, bias, expertCount, logits)
    }
    choose(
      logits, correction: experts.correction, kernels: kernels, indices: indices,
      weights: weights)
  }
}

extension Scratch {
  /// The SwiGLU buffer seen with rows of `inner` columns.
  @inline(__always)
  func activated(inner: Int) -> Activations {
    var view = activated
    view.stride = inner
    view.quantized.stride = Activations.quantizedStride(inner)
    return view
  }
}
