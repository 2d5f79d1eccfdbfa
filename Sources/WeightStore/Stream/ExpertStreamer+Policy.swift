extension ExpertStreamer {
  /// The policy asked for, or the plainest where everything fits and there is nothing to decide.
  static func policy(
    _ options: StreamerOptions, _ layerExperts: [Int], _ expertsPerToken: Int, slotCount: Int
  ) -> SelectedPolicy {
    let fits = slotCount >= layerExperts.reduce(0, +)
    return SelectedPolicy(
      fits ? .lru : options.policy, layerExperts: layerExperts, expertsPerToken: expertsPerToken,
      slotCount: slotCount)
  }

  /// What decides who leaves the cache.
  public var policy: CachePolicyKind { cache.policy.kind }

  /// What a layer's router said about one token, before `begin` asks for what it chose: policies
  /// that follow routers learn from it.
  ///
  /// - Parameters:
  ///   - layer: index into the manifest's layers.
  ///   - row: which of the step's tokens it is.
  ///   - probabilities: of all the layer's experts.
  public func observe(
    layer: Int, row: Int = 0, probabilities: UnsafePointer<Float>,
    chosen: UnsafeBufferPointer<Int32>
  ) {
    cache.observe(layer: layer, row: row, probabilities: probabilities, chosen: chosen)
  }
}
