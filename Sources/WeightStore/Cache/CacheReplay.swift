/// Replays recorded routing against a cache: what would have hit, without reading anything.
public struct CacheReplay: Sendable {
  public struct Outcome: Sendable, Equatable {
    public var lookups = 0
    public var hits = 0
    public var hitRate: Double { lookups == 0 ? 0 : Double(hits) / Double(lookups) }

    public init() {}
  }

  private let layerExperts: [Int]
  private let expertsPerToken: Int

  public init(layerExperts: [Int], expertsPerToken: Int) {
    self.layerExperts = layerExperts
    self.expertsPerToken = expertsPerToken
  }

  /// Decodes token by token with an empty cache at first and no speculation.
  ///
  /// - Parameters:
  ///   - routing: for each layer with experts, [n][k] distinct experts of every token.
  ///   - slotCount: at least `expertsPerToken`.
  ///   - countFrom: lookups of earlier tokens only warm the cache.
  public func run(
    _ routing: [[Int32]], policy: CachePolicyKind, slotCount: Int, countFrom: Int = 0
  ) -> Outcome {
    precondition(routing.count == layerExperts.count && slotCount >= expertsPerToken)
    var cache = ExpertCache(
      partition: CachePartition(
        slotCount: slotCount, layerExperts: layerExperts, expertsPerToken: expertsPerToken),
      layerExperts: layerExperts,
      policy: SelectedPolicy(policy, recordCount: layerExperts.reduce(0, +)))
    var decision = CacheDecision()
    var outcome = Outcome()
    let tokens = (routing.first?.count ?? 0) / max(expertsPerToken, 1)
    for token in 0..<tokens {
      cache.beginToken()
      for layer in routing.indices {
        let range = token * expertsPerToken..<(token + 1) * expertsPerToken
        let isOpen = routing[layer][range].withUnsafeBufferPointer {
          cache.open(layer: layer, experts: $0, order: .completion)
        }
        precondition(isOpen, "an expert stands twice")
        cache.decide(into: &decision)
        precondition(decision.deferredCount == 0)
        if token >= countFrom {
          outcome.hits += decision.hits.count
          outcome.lookups += expertsPerToken
        }
        for miss in decision.misses {
          cache.landed(miss.slot)
          cache.unpin(miss.slot)
        }
        for hit in decision.hits { cache.unpin(hit.slot) }
        cache.close()
      }
    }
    return outcome
  }
}
