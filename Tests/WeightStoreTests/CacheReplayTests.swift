import Testing
import WeightStore

/// A replay against a plain list in order of use.
@Suite struct CacheReplayTests {
  private static let layerExperts = [7, 7, 7]
  private static let perToken = 2

  /// [layer][n × k], distinct within a token, some experts more popular than others.
  private static func routing(tokens: Int) -> [[Int32]] {
    var state: UInt64 = 12345
    func next(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    return layerExperts.map { count in
      (0..<tokens).flatMap { _ -> [Int32] in
        let first = min(next(count), next(count))
        let second = (first + 1 + next(count - 1)) % count
        return [Int32(first), Int32(second)]
      }
    }
  }

  private static func replay(_ routing: [[Int32]]) -> CacheReplay {
    CacheReplay(
      RoutingTrace(
        routing: routing, layerExperts: layerExperts, expertsPerToken: perToken))
  }

  /// Least recently used, by the book: the list holds records, the last used at its end.
  private static func reference(_ routing: [[Int32]], slots: Int, from: Int) -> (Int, Int) {
    var list: [Int] = []
    var (lookups, hits) = (0, 0)
    for token in 0..<routing[0].count / perToken {
      for layer in routing.indices {
        let experts = routing[layer][token * perToken..<(token + 1) * perToken]
        let records = experts.map { layer * 100 + Int($0) }
        let cached = records.filter { list.contains($0) }
        if token >= from {
          lookups += records.count
          hits += cached.count
        }
        list.removeAll { records.contains($0) }
        while list.count + records.count > slots { list.removeFirst() }
        list += records
      }
    }
    return (lookups, hits)
  }

  @Test(arguments: [6, 8, 11, 20, 21], [0, 40])
  func leastRecentlyUsedAgreesWithAPlainList(slots: Int, from: Int) {
    let routing = Self.routing(tokens: 120)
    let outcome = Self.replay(routing).run(
      .online(.lru), CacheReplay.Options(slotCount: slots, warmupTokens: from))
    let (lookups, hits) = Self.reference(routing, slots: slots, from: from)
    #expect(outcome.lookups == lookups)
    #expect(outcome.hits == hits)
    #expect(hits > 0 && hits < lookups || slots == 21)
  }

  @Test(arguments: CachePolicyKind.allCases)
  func everythingCachedMissesOnlyOnce(policy: CachePolicyKind) {
    let routing = Self.routing(tokens: 200)
    let distinct = routing.reduce(0) { $0 + Set($1).count }
    let outcome = Self.replay(routing).run(
      .online(policy), CacheReplay.Options(slotCount: 21))
    #expect(outcome.lookups - outcome.hits == distinct)
  }

  @Test func theSmallestCacheWorks() {
    let routing = Self.routing(tokens: 50)
    let outcome = Self.replay(routing).run(
      .online(.lfru), CacheReplay.Options(slotCount: Self.perToken))
    #expect(outcome.lookups == 50 * 3 * 2)
    #expect(outcome.hitRate < 1)
  }
}
