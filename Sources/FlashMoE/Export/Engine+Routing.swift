import Support

extension Engine {
  /// The experts every token of a text is routed to, in each layer that has them; logits are not
  /// computed.
  ///
  /// - Throws: `Failure` as a generation does.
  public func routing(of tokens: [Int32]) throws(Failure) -> [LogitsResult.Routing] {
    let layers = configuration.sparseLayers
    let perToken = configuration.experts.perToken
    return try withCore { core throws(Failure) in
      core.rewind(to: 0)
      core.resetStatistics()
      var routing: [Int: LogitsResult.Routing] = [:]
      core.decoder.routerObserver = { layer, indices, weights, rows in
        let count = rows * perToken
        // Appended in place: a copy of a layer's list for every chunk would be quadratic.
        routing[layer, default: LogitsResult.Routing(layer: layer, indices: [], weights: [])]
          .append(
            UnsafeBufferPointer(start: indices, count: count),
            UnsafeBufferPointer(start: weights, count: count))
      }
      defer { core.decoder.routerObserver = nil }
      try core.process(tokens)
      return layers.compactMap { routing[$0] }
    }
  }
}

extension LogitsResult.Routing {
  fileprivate mutating func append(
    _ indices: UnsafeBufferPointer<Int32>, _ weights: UnsafeBufferPointer<Float>
  ) {
    self.indices.append(contentsOf: indices)
    self.weights.append(contentsOf: weights)
  }
}
