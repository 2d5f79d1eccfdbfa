import Testing

@testable import WeightStore

/// LRU and LFU in the plainest way: a list of records and their histories.
private struct NaiveCache {
  let capacity: Int
  let isFrequency: Bool
  var cached: [Int] = []
  var lastUse: [Int: Int] = [:]
  var uses: [Int: Int] = [:]
  var clock = 0

  /// Returns the hits and the records evicted, in order.
  mutating func request(_ records: [Int]) -> (hits: Set<Int>, evicted: [Int]) {
    let hits = Set(records.filter(cached.contains))
    for record in records {
      clock += 1
      lastUse[record] = clock
      uses[record, default: 0] += 1
    }
    var evicted: [Int] = []
    for record in records where !hits.contains(record) {
      if cached.count == capacity {
        let candidates = cached.filter { !records.contains($0) }
        let victim = candidates.min { one, other in
          let a = isFrequency ? (uses[one] ?? 0, lastUse[one] ?? 0) : (lastUse[one] ?? 0, 0)
          let b = isFrequency ? (uses[other] ?? 0, lastUse[other] ?? 0) : (lastUse[other] ?? 0, 0)
          return a < b
        }
        if let victim {
          cached.removeAll { $0 == victim }
          evicted.append(victim)
        }
      }
      cached.append(record)
    }
    return (hits, evicted)
  }
}

@Suite struct CacheTests {
  private func makeCache(
    slots: Int, layers: [Int], perToken: Int, _ kind: CachePolicyKind
  ) -> ExpertCache<SelectedPolicy> {
    ExpertCache(
      partition: CachePartition(
        slotCount: slots, layerExperts: layers, expertsPerToken: perToken),
      layerExperts: layers,
      policy: SelectedPolicy(
        kind, layerExperts: layers, expertsPerToken: perToken, slotCount: slots))
  }

  private func open(
    _ cache: inout ExpertCache<SelectedPolicy>, _ layer: Int, _ experts: [Int32],
    _ order: DeliveryOrder = .completion
  ) -> Bool {
    experts.withUnsafeBufferPointer { cache.open(layer: layer, experts: $0, order: order) }
  }

  /// A whole request with reads that land at once.
  private func run(
    _ cache: inout ExpertCache<SelectedPolicy>, _ layer: Int, _ experts: [Int32]
  ) -> CacheDecision {
    #expect(open(&cache, layer, experts))
    var decision = CacheDecision()
    cache.decide(into: &decision)
    #expect(decision.deferredCount == 0)
    for miss in decision.misses { cache.landed(miss.slot) }
    for slot in (decision.hits.map(\.slot) + decision.misses.map(\.slot)) { cache.unpin(slot) }
    cache.close()
    return decision
  }

  @Test(arguments: [CachePolicyKind.lru, .lfu])
  func agreesWithTheNaiveCache(kind: CachePolicyKind) {
    let layers = [10, 7, 12]
    for slots in [9, 10, 15, 22, 29] {
      var cache = makeCache(slots: slots, layers: layers, perToken: 3, kind)
      #expect(cache.partition.isGlobal)
      var naive = NaiveCache(capacity: slots, isFrequency: kind == .lfu)
      var dice = Dice(UInt64(slots))
      for token in 0..<300 {
        cache.beginToken()
        for (layer, count) in layers.enumerated() {
          let experts = dice.distinct(1 + (token + layer) % 3, below: count)
          let records = experts.map { cache.record(layer: layer, expert: Int($0)) }
          let expected = naive.request(records)
          let decision = run(&cache, layer, experts)
          #expect(Set(decision.hits.map { records[$0.position] }) == expected.hits)
          #expect(decision.misses.compactMap(\.evicted) == expected.evicted)
        }
      }
    }
  }

  /// Random requests, landings, failures, releases and speculation; the rules hold after each.
  @Test(arguments: CachePolicyKind.allCases, [4, 5, 9, 11, 12, 13, 30])
  func pinnedAndFillingAreNeverTaken(kind: CachePolicyKind, slots: Int) {
    let layers = [8, 10, 9]
    var cache = makeCache(slots: slots, layers: layers, perToken: 4, kind)
    var dice = Dice(UInt64(slots))
    var decision = CacheDecision()
    for _ in 0..<150 {
      if dice.below(3) == 0 { cache.beginToken() }
      let layer = dice.below(3)
      let order = dice.below(2) == 0 ? DeliveryOrder.completion : .request
      let experts = dice.distinct(order == .completion ? 4 : layers[layer], below: layers[layer])
      #expect(open(&cache, layer, experts, order))
      var held: [Int: Int] = [:]
      var filling: [Int] = []
      var placed = 0
      var speculated: [Int] = []
      while true {
        let protected = (0..<slots).filter {
          [.filling, .inUse].contains(cache.state(ofSlot: $0))
        }
        let owners = protected.map { cache.record(inSlot: $0) }
        cache.decide(into: &decision)
        for (slot, owner) in zip(protected, owners) {
          #expect(cache.record(inSlot: slot) == owner)
        }
        for hit in decision.hits + decision.adopted {
          held[hit.position] = hit.slot
          placed += 1
        }
        for miss in decision.misses {
          held[miss.position] = miss.slot
          placed += 1
          filling.append(miss.slot)
          #expect(!protected.contains(miss.slot))
          #expect(cache.record(inSlot: miss.slot) == miss.record)
          // Evicted for read-ahead and read again later in the same decision is possible.
          if let evicted = miss.evicted { #expect(cache.slot(ofRecord: evicted) != miss.slot) }
        }
        #expect(Set(held.values).count == held.count)
        #expect(placed + decision.deferredCount == experts.count)
        if slots > 5, dice.below(3) == 0 {
          let target = dice.below(3)
          let guess = dice.distinct(3, below: layers[target])
          guess.withUnsafeBufferPointer { cache.predict(layer: target, experts: $0) }
          let before = cache
          if let miss = cache.placeSpeculative(layer: target, expert: Int(guess[0])) {
            let old = before.state(ofSlot: miss.slot)
            #expect(old == .free || old == .ready)
            if old == .ready { #expect(before.tokenOfSlot[miss.slot] != before.time.token) }
            #expect(!cache.partition.transitSlots.contains(miss.slot))
            speculated.append(miss.slot)
          }
        }
        if held.isEmpty, decision.deferredCount == 0 { break }
        // Something lands or is released; with a slot to spare that must suffice to go on.
        for slot in speculated { cache.landed(slot) }
        speculated.removeAll()
        for slot in filling { cache.landed(slot) }
        filling.removeAll()
        guard let position = held.keys.min() else {
          #expect(Bool(false), "nothing is held and nothing can be placed")
          break
        }
        if let slot = held.removeValue(forKey: position) {
          if dice.below(10) == 0 { cache.discard(slot) } else { cache.unpin(slot) }
        }
      }
      cache.close()
      checkKeys(cache)
      for slot in 0..<slots {
        if let record = cache.record(inSlot: slot) {
          #expect(cache.slot(ofRecord: record) == slot)
        } else {
          #expect(cache.state(ofSlot: slot) == .free)
        }
      }
      #expect(cache.residentCount.reduce(0, +) + cache.freeCount == slots)
    }
  }

  /// The flat array of keys says what the state says, and its least is the least.
  private func checkKeys(_ cache: ExpertCache<SelectedPolicy>) {
    var open: [Int] = []
    for slot in 0..<cache.slotCount {
      let layer = Int(cache.layerOfSlot[slot])
      let isOpen =
        cache.state(ofSlot: slot) == .ready && cache.awaitedBegin[slot] != cache.layerBegins[layer]
      #expect(cache.keyOfSlot[slot] == (isOpen ? cache.worthOfSlot[slot] : .infinity))
      if isOpen { open.append(slot) }
    }
    let least = open.min {
      (cache.worthOfSlot[$0], cache.lastUseOfSlot[$0])
        < (cache.worthOfSlot[$1], cache.lastUseOfSlot[$1])
    }
    #expect(cache.leastKey(in: 0..<cache.slotCount) == least)
  }

  @Test func requestOrderSparesWhatComesLater() {
    var cache = makeCache(slots: 6, layers: [12], perToken: 2, .lru)
    for expert in [8, 9, 10, 11] as [Int32] { _ = run(&cache, 0, [expert]) }
    for expert in [0, 1] as [Int32] { _ = run(&cache, 0, [expert]) }
    // 8 … 11 are the least recently used, but this request comes to them.
    #expect(open(&cache, 0, [2, 3, 8, 9, 10, 11], .request))
    var decision = CacheDecision()
    cache.decide(into: &decision)
    #expect(decision.misses.map(\.evicted) == [0, 1])
    #expect(decision.hits.map(\.position) == [2, 3, 4, 5])
  }

  @Test func twoOfTheSameAreRefused() {
    var cache = makeCache(slots: 4, layers: [6], perToken: 2, .lru)
    #expect(!open(&cache, 0, [1, 2, 1]))
    #expect(run(&cache, 0, [1, 2]).misses.count == 2)
    #expect(run(&cache, 0, [1, 2]).hits.count == 2)
  }

  @Test func recencyDecaysFrequency() {
    var policy = FrequentlyRecentlyUsed(recordCount: 3, halfLifeTokens: 10)
    func time(_ token: Int) -> CacheTime { CacheTime(sequence: token, token: token) }
    for token in 0..<8 { _ = policy.demanded(0, at: time(token)) }
    _ = policy.demanded(1, at: time(8))
    #expect(policy.worth(0) > policy.worth(1))
    #expect(policy.worth(2) < policy.worth(1))
    // Six half-lives later one use outweighs the eight old ones.
    _ = policy.demanded(1, at: time(68))
    #expect(policy.worth(1) > policy.worth(0))
    // 2^(0/10) + 2^(10/10) = 3.
    var two = FrequentlyRecentlyUsed(recordCount: 1, halfLifeTokens: 10)
    _ = two.demanded(0, at: time(0))
    #expect(abs(two.demanded(0, at: time(10)) - 1.584_962_500_721_156) < 1e-12)
    // Far in the future nothing overflows.
    #expect(two.demanded(0, at: time(1 << 40)).isFinite)
  }

  @Test func partitionsCoverAllSlotsOnce() {
    for slots in 3...40 {
      let layers = [6, 6, 2, 6]
      let partition = CachePartition(slotCount: slots, layerExperts: layers, expertsPerToken: 3)
      #expect(partition.isGlobal == (slots >= 11))
      if partition.isGlobal {
        #expect(partition.ownSlots(layer: 2) == 0..<slots)
        #expect(partition.transitSlots.isEmpty)
      } else {
        #expect(partition.transitSlots == 0..<3)
        var end = 3
        for layer in layers.indices {
          let own = partition.ownSlots(layer: layer)
          #expect(own.lowerBound == end)
          #expect(own.count <= layers[layer])
          end = own.upperBound
        }
        #expect(end == slots)
      }
    }
  }

  @Test func sameCallsSameDecisions() {
    for kind in CachePolicyKind.allCases {
      var one = makeCache(slots: 9, layers: [8, 8], perToken: 3, kind)
      var other = one
      var dice = Dice(3)
      for round in 0..<200 {
        one.beginToken()
        other.beginToken()
        let experts = dice.distinct(3, below: 8)
        #expect(run(&one, round % 2, experts) == run(&other, round % 2, experts))
      }
    }
  }
}
