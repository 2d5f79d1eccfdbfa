import CKernels
import Support
import WeightStore

/// What the next layer will probably ask for: its router on the present hidden state.
///
/// A prediction only decides what is read early; the router decides what is used.
extension Decoder {
  /// The next layer's router and the norm before it, when it has experts.
  private func nextRouter(after layer: Int) -> (experts: ExpertsWeights, norm: NormWeights)? {
    guard layer + 1 < weights.layers.count,
      case .experts(var experts) = weights.layers[layer + 1].feedForward
    else { return nil }
    // Activations for int8 products are not prepared here.
    experts.router.usesInt8 = false
    return (experts, weights.layers[layer + 1].feedForwardNorm)
  }

  /// Router logits of one row, and the next layer's in the same region when it will be predicted.
  func routeStep(_ experts: ExpertsWeights, layer: Int) {
    let (kernels, pool, scratch, router) = (kernels, pool, scratch, router)
    let hiddenSize = configuration.hiddenSize
    let isWanted = streamer?.wantsPredictions == true || stepObserver != nil
    let next = isWanted ? nextRouter(after: layer) : nil
    var ahead = scratch.normalized
    ahead.values = scratch.predictionInput
    if let next {
      norm.apply(kernels, scratch.hidden, next.norm, hiddenSize, scratch.predictionInput)
    }
    pool.run { thread in
      kernels.multiply(
        experts.router, blocks: pool.share(of: experts.router.blockCount, for: thread),
        scratch.normalized,
        rows: 1, output: scratch.routerLogits, outputStride: router.expertCount)
      if let next {
        kernels.multiply(
          next.experts.router,
          blocks: pool.share(of: next.experts.router.blockCount, for: thread), ahead,
          rows: 1, output: scratch.predictionLogits, outputStride: router.expertCount)
      }
    }
    router.choose(
      scratch.routerLogits, experts, kernels: kernels, indices: scratch.chosen,
      weights: scratch.chosenWeights)
    if let next {
      router.choose(
        scratch.predictionLogits, next.experts, kernels: kernels, indices: scratch.predicted,
        weights: scratch.predictedWeights)
    }
    if let stepObserver {
      stepObserver(
        RoutedStep(
          storeLayer: experts.storeLayer, probabilities: UnsafePointer(scratch.routerLogits),
          chosen: UnsafeBufferPointer(start: scratch.chosen, count: router.perToken),
          next: next.map { ($0.experts.storeLayer, UnsafePointer(scratch.predictionLogits)) }))
    }
  }

  /// After a step's reads were started: the next layer's likely experts, likeliest first.
  func prefetchPredicted(after layer: Int, rows: Int, streamer: ExpertStreamer) {
    guard streamer.wantsPredictions, let next = nextRouter(after: layer) else { return }
    if rows == 1 {
      streamer.prefetch(
        layer: next.experts.storeLayer,
        experts: UnsafeBufferPointer(start: scratch.predicted, count: router.perToken))
    } else {
      streamer.prefetch(
        layer: next.experts.storeLayer, experts: predict(next.experts, next.norm, rows: rows),
        isRanked: false)
    }
  }

  /// Before a chunk's experts are computed: all experts the next layer will need, in file order.
  func announcePredicted(after layer: Int, rows: Int, streamer: ExpertStreamer) {
    guard prefetches, !streamer.holdsEverything, let next = nextRouter(after: layer) else { return }
    streamer.announce(
      layer: next.experts.storeLayer, experts: predict(next.experts, next.norm, rows: rows))
  }

  /// Every expert that a router chooses for some row of the present hidden state, ascending.
  private func predict(_ experts: ExpertsWeights, _ weight: NormWeights, rows: Int)
    -> UnsafeBufferPointer<Int32>
  {
    let (kernels, pool, scratch, router) = (kernels, pool, scratch, router)
    let (hiddenSize, norm, matrix) = (configuration.hiddenSize, norm, experts.router)
    scratch.isPredicted.update(repeating: false, count: router.expertCount)
    var first = 0
    while first < rows {
      let count = min(scratch.tileRows, rows - first)
      let start = first
      pool.run { thread in
        let range = pool.share(of: count, for: thread)
        guard !range.isEmpty else { return }
        for row in range {
          norm.apply(
            kernels, scratch.hidden + (start + row) * hiddenSize, weight, hiddenSize,
            scratch.predictionInput + row * hiddenSize)
        }
        var input = scratch.normalized
        input.values = scratch.predictionInput + range.lowerBound * hiddenSize
        kernels.multiply(
          matrix, blocks: 0..<matrix.blockCount, input, rows: range.count,
          output: scratch.predictionLogits + range.lowerBound * router.expertCount,
          outputStride: router.expertCount)
        for row in range {
          router.choose(
            scratch.predictionLogits + row * router.expertCount, experts, kernels: kernels,
            indices: scratch.predicted + row * router.perToken,
            weights: scratch.predictedWeights + row * router.perToken)
        }
      }
      for at in 0..<count * router.perToken {
        scratch.isPredicted[Int(scratch.predicted[at])] = true
      }
      streamer?.poll()
      first += count
    }
    var found = 0
    for expert in 0..<router.expertCount where scratch.isPredicted[expert] {
      scratch.predictedExperts[found] = Int32(expert)
      found += 1
    }
    return UnsafeBufferPointer(start: scratch.predictedExperts, count: found)
  }
}
