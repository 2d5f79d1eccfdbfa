import Glibc
import Support
import Testing

@_spi(Testing) @testable import WeightStore

@Suite struct StreamingTests {
  static let layers = 4
  static let experts = 12
  static let perToken = 3

  private static func slotCounts() -> [Int] {
    // The minimum, just above it, below and at the working set, plenty, everything.
    [perToken, perToken + 1, layers * perToken - 1, layers * perToken, 30, layers * experts]
  }

  /// Tokens as the engine runs them, with speculation right, wrong and useless.
  private func tokens(_ rig: StreamingRig, _ count: Int, dice: inout Dice) throws {
    for _ in 0..<count {
      rig.streamer.beginToken()
      var next = dice.distinct(Self.perToken, below: Self.experts)
      for layer in 0..<Self.layers {
        let chosen = next
        next = dice.distinct(Self.perToken, below: Self.experts)
        try rig.begin(layer, chosen, .completion)
        if layer + 1 < Self.layers {
          let guess = dice.below(3) == 0 ? next : dice.distinct(5, below: Self.experts)
          rig.prefetch(layer + 1, guess)
        }
        var seen: Set<Int> = []
        while let delivery = try rig.streamer.next() {
          #expect(Int32(delivery.expert) == chosen[delivery.position])
          #expect(rig.source.agrees(delivery, layer: layer))
          #expect(seen.insert(delivery.position).inserted)
          if dice.below(4) > 0 { rig.streamer.release(delivery.position) }
        }
        #expect(seen.count == chosen.count)
        rig.streamer.end()
      }
    }
  }

  private func check(_ statistics: StreamStatistics) {
    #expect(
      statistics.lookups == statistics.hits + statistics.hitsInFlight + statistics.misses)
    #expect(statistics.layerLookups.reduce(0, +) == statistics.lookups)
    #expect(statistics.layerHits.reduce(0, +) == statistics.hits + statistics.hitsInFlight)
    #expect(statistics.speculativeUsedBytes <= statistics.speculativeBytes)
  }

  @Test(arguments: [ReadBackendKind.uring, .pread], CachePolicyKind.allCases)
  func bytesAreTheFileBytes(backend: ReadBackendKind, policy: CachePolicyKind) throws {
    let source = try StreamingStore(layers: Self.layers, experts: Self.experts)
    for slots in Self.slotCounts() {
      for direct in [DirectMode.on, .off] {
        for prefetch in [true, false] {
          var dice = Dice(UInt64(slots))
          let rig = try StreamingRig(
            source, slots: slots, expertsPerToken: Self.perToken,
            options: StreamerOptions(
              policy: policy, prefetch: prefetch, backend: backend, direct: direct,
              queueDepth: 1 + dice.below(9), readBytes: 4096 * (1 + dice.below(3))))
          try tokens(rig, 6, dice: &dice)
          for layer in 0..<Self.layers {
            try rig.request(layer, (0..<Int32(Self.experts)).map { $0 }, .request)
            try rig.request(layer, [7, 2, 11, 0, 5], .request)
          }
          try tokens(rig, 4, dice: &dice)
          rig.streamer.drain()
          let statistics = rig.streamer.statistics
          check(statistics)
          #expect(statistics.lookups == 10 * Self.layers * Self.perToken + Self.layers * 17)
          if !prefetch {
            #expect(statistics.speculativeBytes == 0)
            #expect(statistics.hitsInFlight == 0)
          }
          if slots == Self.perToken { #expect(statistics.speculativeBytes == 0) }
        }
      }
    }
  }

  @Test func missesAndBytesAgree() throws {
    let source = try StreamingStore(layers: 3, experts: 8)
    let rig = try StreamingRig(
      source, slots: 10, expertsPerToken: 2, options: StreamerOptions(readBytes: 8192))
    var bytes = 0
    var lookups = 0
    var dice = Dice(5)
    for _ in 0..<30 {
      rig.streamer.beginToken()
      for layer in 0..<3 {
        let before = rig.streamer.statistics.misses
        try rig.request(layer, dice.distinct(2, below: 8), .completion)
        bytes += (rig.streamer.statistics.misses - before) * source.stride(layer)
        lookups += 2
      }
    }
    let statistics = rig.streamer.statistics
    #expect(statistics.lookups == lookups)
    #expect(statistics.hits + statistics.misses == lookups)
    #expect(statistics.demandBytes == bytes)
    #expect(statistics.evictions >= statistics.misses - 10)
    rig.streamer.resetStatistics()
    #expect(rig.streamer.statistics.lookups == 0)
    #expect(rig.streamer.statistics.demandBytes == 0)
  }

  @Test func everythingCachedIsReadOnce() throws {
    let source = try StreamingStore(layers: 2, experts: 6)
    let rig = try StreamingRig(source, slots: 12, expertsPerToken: 2)
    for _ in 0..<3 {
      for layer in 0..<2 { try rig.request(layer, [0, 1, 2, 3, 4, 5], .request) }
    }
    #expect(rig.streamer.statistics.misses == 12)
    #expect(rig.streamer.statistics.hits == 24)
    #expect(rig.streamer.statistics.evictions == 0)
  }

  /// A pass over all layers is a cycle longer than the cache: with plain LRU it would hit nothing.
  @Test func wholePassesKeepAShareOfEveryLayer() throws {
    let source = try StreamingStore(layers: 4, experts: 16)
    let rig = try StreamingRig(source, slots: 32, expertsPerToken: 2)
    for pass in 0..<4 {
      if pass == 1 { rig.streamer.resetStatistics() }
      rig.streamer.beginToken()
      for layer in 0..<4 { try rig.request(layer, (0..<16).map { Int32($0) }, .request) }
    }
    let statistics = rig.streamer.statistics
    #expect(statistics.lookups == 3 * 64)
    // The ideal is 32 of 64.
    #expect(statistics.hits >= 3 * 20)
    #expect(statistics.layerHits.allSatisfy { $0 > 0 })
  }

  @Test func partitionHitsBelowTheWorkingSet() throws {
    let source = try StreamingStore(layers: 4, experts: 8)
    let rig = try StreamingRig(source, slots: 11, expertsPerToken: 3)
    for _ in 0..<5 {
      rig.streamer.beginToken()
      for layer in 0..<4 { try rig.request(layer, [1, 4, 6], .completion) }
    }
    // Eight owned slots, four later tokens.
    #expect(rig.streamer.statistics.hits == 8 * 4)
    #expect(rig.log.messages.filter { $0.contains("partitioned") }.count == 1)
  }

  @Test func cancellationLeavesNothingBehind() throws {
    let source = try StreamingStore(layers: 3, experts: 16, columns: 30000)
    for backend in [ReadBackendKind.uring, .pread] {
      let rig = try StreamingRig(
        source, slots: 10, expertsPerToken: 4,
        options: StreamerOptions(backend: backend, queueDepth: 3, readBytes: 16384))
      var dice = Dice(11)
      for round in 0..<60 {
        let layer = dice.below(3)
        let order = round % 2 == 0 ? DeliveryOrder.completion : .request
        let chosen = dice.distinct(order == .completion ? 4 : 12, below: 16)
        try rig.begin(layer, chosen, order)
        if round % 3 == 0 { rig.prefetch((layer + 1) % 3, dice.distinct(4, below: 16)) }
        for _ in 0..<dice.below(3) {
          guard let delivery = try rig.streamer.next() else { break }
          #expect(source.agrees(delivery, layer: layer))
        }
        // Reads are in flight here.
        if round % 5 != 0 { rig.streamer.end() }
        if round % 4 == 0 { try rig.request(dice.below(3), dice.distinct(4, below: 16), order) }
      }
      try rig.request(2, (0..<16).map { Int32($0) }, .request)
      rig.streamer.drain()
      #expect(rig.streamer.scheduler.activeReads == 0)
      #expect(rig.streamer.scheduler.piecesInFlight == 0)
      for slot in 0..<10 {
        let state = rig.streamer.cache.state(ofSlot: slot)
        #expect(state == .free || state == .ready)
      }
      check(rig.streamer.statistics)
    }
  }

  @Test func nextIfReadyDeliversEverythingInTheEnd() throws {
    let source = try StreamingStore(layers: 1, experts: 6)
    let rig = try StreamingRig(source, slots: 4, expertsPerToken: 4)
    try rig.begin(0, [5, 1, 3, 0], .completion)
    var seen: Set<Int> = []
    while rig.streamer.remaining > 0 {
      guard let delivery = try rig.streamer.nextIfReady() else { continue }
      #expect(source.agrees(delivery, layer: 0))
      seen.insert(delivery.expert)
      rig.streamer.release(delivery.position)
    }
    #expect(seen == [5, 1, 3, 0])
    #expect(try rig.streamer.nextIfReady() == nil)
    #expect(try rig.streamer.next() == nil)
  }

  @Test func holdingEverySlotIsAnErrorNotAHang() throws {
    let source = try StreamingStore(layers: 1, experts: 6)
    let rig = try StreamingRig(source, slots: 2, expertsPerToken: 2)
    try rig.begin(0, [0, 1, 2], .request)
    #expect(try rig.streamer.next() != nil)
    let second = try rig.streamer.next()
    let error = failure { _ = try rig.streamer.next() }
    #expect(error?.kind == .usage)
    if let second { rig.streamer.release(second.position) }
    #expect(try rig.streamer.next()?.expert == 2)
    rig.streamer.end()
    try rig.request(0, [3, 4], .completion)
  }

  @Test func badRequestsAreRefused() throws {
    let source = try StreamingStore(layers: 2, experts: 4)
    let rig = try StreamingRig(source, slots: 4, expertsPerToken: 2)
    #expect(failure { try rig.begin(2, [0], .completion) }?.kind == .usage)
    #expect(failure { try rig.begin(-1, [0], .completion) }?.kind == .usage)
    #expect(failure { try rig.begin(0, [4], .completion) }?.kind == .usage)
    #expect(failure { try rig.begin(0, [-1], .completion) }?.kind == .usage)
    #expect(failure { try rig.begin(0, [1, 1], .completion) }?.kind == .usage)
    #expect(failure { try rig.begin(0, [0, 1, 2, 3, 0], .request) }?.kind == .usage)
    rig.prefetch(9, [0])
    rig.prefetch(1, [77, -3, 2])
    try rig.request(0, [1, 0], .completion)
    try rig.request(0, [], .completion)
    #expect(failure { _ = try StreamingRig(source, slots: 1, expertsPerToken: 2) }?.kind == .budget)
  }
}
