import Testing

@testable import WeightStore

/// Belady's rule against every possible choice of victims.
@Suite struct OptimumTests {
  /// The fewest misses of any way to choose victims, by trying all.
  private func fewest(_ requests: [[Int]], slots: Int) -> Int {
    var memory: [String: Int] = [:]
    func best(_ at: Int, _ cached: Set<Int>) -> Int {
      guard at < requests.count else { return 0 }
      let key = "\(at) \(cached.sorted())"
      if let known = memory[key] { return known }
      let wanted = Set(requests[at])
      let misses = wanted.subtracting(cached).count
      let excess = cached.union(wanted).count - slots
      var least = Int.max
      for victims in subsets(Array(cached.subtracting(wanted)), count: max(0, excess)) {
        least = min(least, best(at + 1, cached.union(wanted).subtracting(victims)))
      }
      memory[key] = misses + least
      return misses + least
    }
    return best(0, [])
  }

  private func subsets(_ items: [Int], count: Int) -> [[Int]] {
    guard count > 0 else { return [[]] }
    guard items.count >= count else { return [] }
    let rest = Array(items.dropFirst())
    return subsets(rest, count: count - 1).map { [items[0]] + $0 } + subsets(rest, count: count)
  }

  @Test(arguments: 1...12)
  func noChoiceOfVictimsDoesBetter(seed: Int) {
    var dice = Dice(UInt64(seed))
    let layers = [4, 3]
    let perToken = 2
    let tokens = 9
    let routing = layers.map { count in
      (0..<tokens).flatMap { _ in dice.distinct(perToken, below: count) }
    }
    let trace = RoutingTrace(routing: routing, layerExperts: layers, expertsPerToken: perToken)
    var requests: [[Int]] = []
    for token in 0..<tokens {
      for layer in 0..<2 {
        requests.append(
          trace.experts(of: token..<token + 1, layer: layer).map { Int($0) + 4 * layer })
      }
    }
    for slots in 2...6 {
      let outcome = CacheReplay(trace).run(.optimum, CacheReplay.Options(slotCount: slots))
      #expect(outcome.misses == fewest(requests, slots: slots), "\(slots) slots")
    }
  }

  @Test func nobodyBeatsIt() {
    let trace = RoutingTraceTests.sample(tokens: 120)
    for slots in [3, 6, 8, 12, 17] {
      let optimum = CacheReplay(trace).run(.optimum, CacheReplay.Options(slotCount: slots))
      for kind in CachePolicyKind.allCases {
        for prediction in [false, true] {
          let outcome = CacheReplay(trace).run(
            .online(kind), CacheReplay.Options(slotCount: slots, prediction: prediction))
          #expect(outcome.readBytes >= optimum.readBytes, "\(kind), \(slots)")
          #expect(outcome.lookups == optimum.lookups)
        }
      }
    }
  }
}
