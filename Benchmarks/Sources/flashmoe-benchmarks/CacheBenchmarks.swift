import Support
import WeightStore

/// What deciding costs: one layer's experts looked up, slots chosen for the misses, all returned.
///
/// It happens once a layer and token between router and products, so microseconds count: 48 layers
/// at ten tokens a second leave 2 ms for each.
struct CacheBenchmarks {
  private static let layers = 48
  private static let experts = 128
  private static let perToken = 8
  private static let tokens = 400
  /// Shares of all records that have a slot.
  private static let shares = [10, 30, 75]

  func run() -> [Measurement] {
    let routing = Self.routing()
    var measurements: [Measurement] = []
    for policy in CachePolicyKind.allCases {
      for share in Self.shares {
        measurements.append(measure(policy, share: share, routing))
      }
    }
    return measurements
  }

  private func measure(
    _ policy: CachePolicyKind, share: Int, _ routing: [[Int32]]
  ) -> Measurement {
    let layerExperts = Array(repeating: Self.experts, count: Self.layers)
    let slots = Self.layers * Self.experts * share / 100
    var cache = ExpertCache(
      partition: CachePartition(
        slotCount: slots, layerExperts: layerExperts, expertsPerToken: Self.perToken),
      layerExperts: layerExperts,
      policy: SelectedPolicy(
        policy, layerExperts: layerExperts, expertsPerToken: Self.perToken, slotCount: slots))
    var decision = CacheDecision()
    var (hits, misses) = (0, 0)
    var nanoseconds: UInt64 = 0
    for token in 0..<Self.tokens {
      // The first half fills the cache; after that every miss evicts.
      let counts = token >= Self.tokens / 2
      let start = Clock.nanoseconds()
      cache.beginToken()
      for layer in 0..<Self.layers {
        routing[token * Self.layers + layer].withUnsafeBufferPointer {
          cache.observe(layer: layer, codes: nil, chosen: $0)
          _ = cache.open(layer: layer, experts: $0, order: .completion)
        }
        cache.decide(into: &decision)
        for miss in decision.misses {
          cache.landed(miss.slot)
          cache.unpin(miss.slot)
        }
        for hit in decision.hits { cache.unpin(hit.slot) }
        cache.close()
        if counts {
          hits += decision.hits.count
          misses += decision.misses.count
        }
      }
      if counts { nanoseconds += Clock.nanoseconds() - start }
    }
    let decisions = Self.tokens / 2 * Self.layers
    let hitRate = Double(hits) / Double(max(1, hits + misses))
    return Measurement(
      group: .cache, name: "\(policy.rawValue), \(slots) slots (\(share) %)",
      value: Double(nanoseconds) / Double(decisions), unit: .nanoseconds,
      note: "a layer's \(Self.perToken) experts, "
        + "\(ByteCount.fixed(hitRate * 100, digits: 0)) % hits")
  }

  /// Distinct experts for each token and layer; popular ones come more often, as in a trained
  /// model.  Seeded, so that two runs decide the same.
  private static func routing() -> [[Int32]] {
    var state: UInt64 = 1
    func next() -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33)
    }
    return (0..<tokens * layers).map { _ in
      var chosen: [Int32] = []
      while chosen.count < perToken {
        let expert = Int32(min(next() % experts, next() % experts))
        if !chosen.contains(expert) { chosen.append(expert) }
      }
      return chosen
    }
  }
}
