import CKernels
import Support
import WeightStore

/// One token's experts: computed as their bytes land, summed in ascending expert order.
extension Decoder {
  /// update = Σ weight · expert(normalized) for the single row's chosen experts.
  func decodeExperts(_ layer: Int, storeLayer: Int, shape: ExpertShape) throws(Failure) {
    guard let streamer else { return }
    var clock = PhaseClock()
    let count = router.perToken
    sortChosen(count)
    let experts = UnsafeBufferPointer(start: scratch.neededExperts, count: count)
    try streamer.begin(layer: storeLayer, experts: experts, order: .completion)
    defer { streamer.end() }
    predict(after: layer, streamer: streamer)
    clock.lap(&times.router)
    var pending = 0
    let landed = scratch.rowStarts
    while true {
      // Everything that is there already is computed in one parallel region.
      var delivery = try streamer.nextIfReady()
      if delivery == nil, pending == 0 {
        clock.lap(&times.experts)
        delivery = try streamer.next()
        clock.lap(&times.inputOutputWait)
        if delivery == nil { break }
      }
      if let delivery {
        scratch.records[pending] = delivery.record
        landed[pending] = Int32(delivery.position)
        pending += 1
        if pending < count { continue }
      }
      compute(shape, count: pending)
      for at in 0..<pending { streamer.release(Int(landed[at])) }
      pending = 0
    }
    sumInOrder(count)
    clock.lap(&times.experts)
  }

  /// Chosen experts ascending into `neededExperts`, their weights into `rowWeights`.
  private func sortChosen(_ count: Int) {
    for at in 0..<count {
      let (expert, weight) = (scratch.chosen[at], scratch.chosenWeights[at])
      var slot = at
      while slot > 0, scratch.neededExperts[slot - 1] > expert {
        scratch.neededExperts[slot] = scratch.neededExperts[slot - 1]
        scratch.rowWeights[slot] = scratch.rowWeights[slot - 1]
        slot -= 1
      }
      scratch.neededExperts[slot] = expert
      scratch.rowWeights[slot] = weight
    }
  }

  /// The landed experts together: blocks of all gate_up products, then of all down products.
  private func compute(_ shape: ExpertShape, count: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    let inner = shape.inner
    let activated = scratch.activated(inner: inner)
    let landed = scratch.rowStarts
    let upBlocks = shape.gateUp.blockCount
    let downBlocks = shape.down.blockCount
    pool.run { thread in
      forEachShare(pool.share(of: count * upBlocks, for: thread), per: upBlocks) { at, blocks in
        kernels.multiply(
          shape.gateUp(scratch.records[at]), blocks: blocks, scratch.normalized, rows: 1,
          output: scratch.gateUp + at * scratch.gateUpStride, outputStride: scratch.gateUpStride)
      }
      pool.barrier()
      for at in pool.share(of: count, for: thread) {
        kernels.table.pointee.swiglu(
          scratch.gateUp + at * scratch.gateUpStride, scratch.gateUpStride, 1, inner,
          activated.values + at * inner, inner)
        if shape.usesInt8, shape.down.scheme.isQuantized {
          kernels.quantize(activated, columns: inner, rows: at..<at + 1)
        }
      }
      pool.barrier()
      forEachShare(pool.share(of: count * downBlocks, for: thread), per: downBlocks) { at, blocks in
        kernels.multiply(
          shape.down(scratch.records[at]), blocks: blocks, activated.from(row: at), rows: 1,
          output: scratch.expertOutput + Int(landed[at]) * hiddenSize, outputStride: hiddenSize)
      }
    }
  }

  private func sumInOrder(_ count: Int) {
    let hiddenSize = configuration.hiddenSize
    scratch.update.update(repeating: 0, count: hiddenSize)
    for at in 0..<count {
      kernels.table.pointee.multiply_add(
        scratch.rowWeights[at], scratch.expertOutput + at * hiddenSize, hiddenSize, scratch.update)
    }
  }

  /// The next expert layer's router on this layer's hidden state names the likely next reads.
  private func predict(after layer: Int, streamer: ExpertStreamer) {
    guard prefetches, layer + 1 < weights.layers.count,
      case .experts(let nextRouter, let storeLayer) = weights.layers[layer + 1].feedForward
    else { return }
    let hiddenSize = configuration.hiddenSize
    kernels.table.pointee.rms_norm(
      scratch.hidden, weights.layers[layer + 1].feedForwardNorm, hiddenSize,
      configuration.normEpsilon, scratch.predictionInput)
    var input = scratch.normalized
    input.values = scratch.predictionInput
    var plain = nextRouter
    plain.usesInt8 = false
    kernels.multiply(
      plain, blocks: 0..<plain.blockCount, input, rows: 1, output: scratch.predictionLogits,
      outputStride: router.expertCount)
    router.choose(
      scratch.predictionLogits, kernels: kernels, indices: scratch.predicted,
      weights: scratch.predictedWeights)
    streamer.prefetch(
      layer: storeLayer,
      experts: UnsafeBufferPointer(start: scratch.predicted, count: router.perToken))
  }
}

/// Walks a range of (item, block) work cut into runs of `per` blocks an item.
@inline(__always)
private func forEachShare(_ range: Range<Int>, per: Int, _ body: (Int, Range<Int>) -> Void) {
  var at = range.lowerBound
  while at < range.upperBound {
    let item = at / per
    let end = min(range.upperBound, (item + 1) * per)
    body(item, at - item * per..<end - item * per)
    at = end
  }
}
