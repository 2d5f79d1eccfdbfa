import TestSupport
import Testing

@testable import WeightStore

/// Every policy against a plain list that says the same in the plainest way.
@Suite struct PolicyTests {
  private static let layers = [10, 7, 12]
  private static let perToken = 3

  /// A cache that keeps records in an array and asks `worst` for a victim's place among those
  /// not asked for now.
  private func compare(
    _ kind: CachePolicyKind, slots: [Int] = [9, 10, 15, 22, 28], tokens: Int = 250,
    makeReference: (_ slots: Int) -> any ReferencePolicy
  ) {
    for slots in slots {
      var dice = Dice(UInt64(slots))
      var cache = ExpertCache(
        partition: CachePartition(
          slotCount: slots, layerExperts: Self.layers, expertsPerToken: Self.perToken),
        layerExperts: Self.layers,
        policy: SelectedPolicy(
          kind, layerExperts: Self.layers, expertsPerToken: Self.perToken, slotCount: slots))
      var reference = makeReference(slots)
      var cached: [Int] = []
      var decision = CacheDecision()
      var bases = [0]
      for count in Self.layers { bases.append(bases[bases.count - 1] + count) }
      for token in 0..<tokens {
        let word = Int32(dice.below(6))
        withUnsafePointer(to: word) {
          cache.beginToken(UnsafeBufferPointer(start: $0, count: 1))
        }
        for (layer, count) in Self.layers.enumerated() {
          let experts = popular(&dice, count)
          let codes = (0..<count).map { expert in
            experts.contains(Int32(expert))
              ? UInt8(200 + dice.below(40)) : UInt8(100 + dice.below(100))
          }
          let records = experts.map { bases[layer] + Int($0) }
          reference.routed(
            Turn(
              layer: layer, token: token + 1, word: Int(word), base: bases[layer],
              codes: codes.map { Int($0) },
              records: records, cached: Set(cached)))
          let hits = records.filter(cached.contains)
          var evicted: [Int] = []
          for record in records where !hits.contains(record) {
            if cached.count == slots {
              let candidates = cached.filter { !records.contains($0) }
              let victim = reference.worst(of: candidates)
              cached.removeAll { $0 == victim }
              reference.evicted(victim)
              evicted.append(victim)
            }
            cached.append(record)
          }
          experts.withUnsafeBufferPointer { experts in
            codes.withUnsafeBufferPointer {
              cache.observe(layer: layer, codes: $0.baseAddress, chosen: experts)
            }
            let isOpen = cache.open(layer: layer, experts: experts, order: .completion)
            #expect(isOpen)
          }
          cache.decide(into: &decision)
          #expect(
            decision.hits.map { records[$0.position] } == hits, "\(kind), \(slots), \(token)")
          #expect(
            decision.misses.compactMap(\.evicted) == evicted, "\(kind), \(slots), \(token)")
          for miss in decision.misses { cache.landed(miss.slot) }
          for slot in decision.hits.map(\.slot) + decision.misses.map(\.slot) {
            cache.unpin(slot)
          }
          cache.close()
          guard decision.misses.compactMap(\.evicted) == evicted else { return }
        }
      }
    }
  }

  /// Distinct experts, low numbers more often.
  private func popular(_ dice: inout Dice, _ count: Int) -> [Int32] {
    var chosen: [Int32] = []
    while chosen.count < Self.perToken {
      let expert = Int32(min(dice.below(count), dice.below(count)))
      if !chosen.contains(expert) { chosen.append(expert) }
    }
    return chosen
  }

  @Test func leastRecentlyUsed() { compare(.lru) { _ in RecencyList() } }
  @Test func leastFrequentlyUsed() { compare(.lfu) { _ in FrequencyList() } }
  @Test func decayedFrequency() { compare(.lfru) { _ in DecayedCounts() } }
  @Test func segmented() { compare(.slru) { SegmentLists(protectedLimit: max(1, $0 * 4 / 5)) } }
  @Test func leastStale() { compare(.stale) { _ in StalenessList() } }
  @Test func foresight() {
    compare(.foresight) { PlainForesight(layers: Self.layers, perToken: Self.perToken, slots: $0) }
  }

  @Test func popularityNeverLearns() {
    var policy = StaticPopularity([3, 1, 2])
    #expect(policy.demanded(1, at: CacheTime(sequence: 9, token: 9)) == 1)
    #expect(policy.worth(0) > policy.worth(2) && policy.worth(2) > policy.worth(1))
  }

  /// Two records of the same value: the one whose layer's turn is farther goes.  With a longer
  /// half-life unused ones fade, and one that nearly was chosen beats one that was far from it.
  @Test func foresightLooksAhead() {
    var policy = Foresight(layerExperts: [4, 4], expertsPerToken: 1, slotCount: 6)
    func route(_ layer: Int, _ token: Int, _ codes: [UInt8], _ chosen: Int32) {
      codes.withUnsafeBufferPointer { codes in
        [chosen].withUnsafeBufferPointer {
          policy.routed(
            RouterView(
              layer: layer, token: token, codes: codes.baseAddress, chosen: $0))
        }
      }
    }
    for token in 1...40 {
      route(0, token, [240, 236, 100, 100], 0)
      route(1, token, [240, 236, 100, 100], 0)
    }
    #expect(policy.worth(0) > policy.worth(1))
    #expect(policy.worth(1) > policy.worth(2))
    // Both layers have had their turn: layer 0 comes first again.
    #expect(policy.worth(0) > policy.worth(4))
    // Layer 0 has had another turn: layer 1 comes first.
    route(0, 41, [240, 236, 100, 100], 0)
    #expect(policy.worth(0) < policy.worth(4))
    #expect(policy.worth(0).isFinite && policy.worth(2).isFinite)
  }

  /// A chain of experts is foreseen: what follows the present choice is worth more than what does
  /// not, though all are used equally often.
  @Test func foresightLearnsWhatFollows() {
    let experts = 6
    var policy = Foresight(layerExperts: [experts], expertsPerToken: 1, slotCount: 4)
    for token in 0..<3000 {
      let chosen = Int32(token % experts)
      [chosen].withUnsafeBufferPointer {
        policy.routed(
          RouterView(layer: 0, token: token, codes: nil, chosen: $0))
      }
    }
    // Chosen last was 5, so 0 is next.
    let worths = (0..<experts).map { policy.worth($0) }
    #expect(worths.max() == worths[0])
  }
}
