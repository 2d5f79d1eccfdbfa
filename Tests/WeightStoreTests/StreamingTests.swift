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

  @Test func speculationIsAdoptedOrReady() throws {
    let source = try StreamingStore(layers: 2, experts: 8)
    let rig = try StreamingRig(source, slots: 10, expertsPerToken: 2)
    rig.streamer.beginToken()
    rig.prefetch(1, [3, 5])
    try rig.request(1, [5, 3], .completion)
    let statistics = rig.streamer.statistics
    #expect(statistics.hits + statistics.hitsInFlight == 2)
    #expect(statistics.misses == 0)
    #expect(statistics.demandBytes == 0)
    #expect(statistics.speculativeBytes == 2 * source.stride(1))
    #expect(statistics.speculativeUsedBytes == 2 * source.stride(1))
  }

  /// The first guess is always right, the second never: after a while only the first is read, and
  /// the second again once it has come true for long enough.
  @Test func ranksThatFailAreWatchedAndNotRead() throws {
    let source = try StreamingStore(layers: 2, experts: 12)
    let rig = try StreamingRig(source, slots: 6, expertsPerToken: 2)
    var dice = Dice(5)
    func speculated(turns: Int, second isRight: Bool) throws -> Int {
      let before = rig.streamer.statistics.speculativeBytes
      for _ in 0..<turns {
        // Nothing is computed between the requests, which the governor would take for a busy disk.
        rig.streamer.governor.restartWindow()
        rig.streamer.beginToken()
        let experts = dice.distinct(5, below: 12)
        try rig.request(0, [experts[0], experts[1]], .completion)
        rig.prefetch(1, [experts[2], experts[3]])
        try rig.request(1, [experts[2], isRight ? experts[3] : experts[4]], .completion)
      }
      rig.streamer.drain()
      return (rig.streamer.statistics.speculativeBytes - before) / source.stride(1)
    }
    _ = try speculated(turns: 32, second: false)
    #expect(!rig.streamer.predictions.isUseful(layer: 1, rank: 1))
    #expect(rig.streamer.predictions.isUseful(layer: 1, rank: 0))
    #expect(try speculated(turns: 16, second: false) <= 16)
    _ = try speculated(turns: 400, second: true)
    #expect(rig.streamer.predictions.isUseful(layer: 1, rank: 1))
    #expect(try speculated(turns: 32, second: true) > 16)
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

  @Test func warmFillReadsThePopularThatFit() throws {
    let source = try StreamingStore(layers: 3, experts: 8)
    let rig = try StreamingRig(source, slots: 9, expertsPerToken: 2)
    let records = (0..<8).flatMap { rank in (0..<3).map { (layer: 2 - $0, expert: 7 - rank) } }
    var steps: [Int] = []
    try rig.streamer.warmFill(records + [(layer: 99, expert: 0), (layer: 0, expert: 99)]) {
      done, total in
      #expect(total == 9)
      steps.append(done)
    }
    #expect(steps.last == 9)
    #expect(steps == steps.sorted())
    for layer in 0..<3 { try rig.request(layer, [7, 6], .completion) }
    for layer in 0..<3 { try rig.request(layer, [5], .completion) }
    let statistics = rig.streamer.statistics
    #expect(statistics.hits == 9)
    #expect(statistics.misses == 0)
    #expect(statistics.warmBytes == (0..<3).reduce(0) { $0 + 3 * source.stride($1) })
    // The least popular of the fill goes first.
    try rig.request(0, [0], .completion)
    #expect(rig.streamer.statistics.evictions == 1)
  }
}

/// Records that can be used before all of their bytes are there.
@Suite struct StreamingHeadTests {
  @Test(arguments: [ReadBackendKind.uring, .pread])
  func everyRecordComesWholeOnceAndItsHeadAtMostOnceBefore(backend: ReadBackendKind) throws {
    let source = try StreamingStore(layers: 3, experts: 12, columns: 9000)
    let rig = try StreamingRig(
      source, slots: 14, expertsPerToken: 4,
      options: StreamerOptions(backend: backend, queueDepth: 3, readBytes: 4096))
    var dice = Dice(3)
    var heads = 0
    for _ in 0..<20 {
      rig.streamer.beginToken()
      for layer in 0..<3 {
        let chosen = dice.distinct(4, below: 12)
        try chosen.withUnsafeBufferPointer {
          try rig.streamer.begin(layer: layer, experts: $0, order: .completion, wantsHeads: true)
        }
        if dice.below(2) == 0 { rig.prefetch((layer + 1) % 3, dice.distinct(4, below: 12)) }
        var seenHead: Set<Int> = []
        var seenWhole: Set<Int> = []
        while let delivery = try rig.streamer.next() {
          #expect(Int32(delivery.expert) == chosen[delivery.position])
          if delivery.isWhole {
            #expect(source.agrees(delivery, layer: layer))
            #expect(seenWhole.insert(delivery.position).inserted)
            if dice.below(3) > 0 { rig.streamer.release(delivery.position) }
          } else {
            heads += 1
            #expect(!seenWhole.contains(delivery.position))
            #expect(seenHead.insert(delivery.position).inserted)
            #expect(source.headAgrees(delivery, layer: layer))
            // A head is not a delivery: it cannot be given back.
            rig.streamer.release(delivery.position)
          }
        }
        #expect(seenWhole.count == 4)
        rig.streamer.end()
      }
    }
    #expect(heads > 0)
    rig.streamer.drain()
    #expect(rig.streamer.scheduler.piecesInFlight == 0)
  }

  @Test func headsAreNotDeliveredUnasked() throws {
    let source = try StreamingStore(layers: 1, experts: 8, columns: 9000)
    let rig = try StreamingRig(
      source, slots: 8, expertsPerToken: 4,
      options: StreamerOptions(queueDepth: 1, readBytes: 4096))
    try rig.begin(0, [0, 3, 5, 7], .completion)
    while let delivery = try rig.streamer.next() { #expect(delivery.isWhole) }
  }

  /// The tail of a record fails after its head was delivered: an error, never half an expert.
  @Test func aTailThatFailsIsAnErrorAfterItsHead() throws {
    let source = try StreamingStore(layers: 1, experts: 4, columns: 9000)
    let path = source.filePath(0)
    let rig = try StreamingRig(
      source, slots: 4, expertsPerToken: 1,
      options: StreamerOptions(queueDepth: 1, readBytes: 4096))
    // The last record loses its last page.
    let size = 4 * source.stride(0)
    #expect(truncate(path, size - 4096) == 0)
    var heads = 0
    let error = failure {
      try [Int32(3)].withUnsafeBufferPointer {
        try rig.streamer.begin(layer: 0, experts: $0, order: .completion, wantsHeads: true)
      }
      while let delivery = try rig.streamer.next() {
        #expect(!delivery.isWhole)
        heads += 1
      }
    }
    #expect(heads == 1)
    #expect(error?.kind == .corrupt)
    rig.streamer.end()
    try rig.request(0, [2], .completion)
  }
}

/// Passes over whole layers with the next layer's records announced.
@Suite struct StreamingPassTests {
  private func pass(_ rig: StreamingRig, layers: Int, needed: [[Int32]], announced: [[Int32]])
    throws
  {
    rig.streamer.beginToken()
    for layer in 0..<layers {
      try rig.begin(layer, needed[layer], .request)
      if layer + 1 < layers {
        announced[layer + 1].withUnsafeBufferPointer {
          rig.streamer.announce(layer: layer + 1, experts: $0)
        }
      }
      var at = 0
      while let delivery = try rig.streamer.next() {
        #expect(delivery.position == at)
        #expect(rig.source.agrees(delivery, layer: layer))
        rig.streamer.release(delivery.position)
        at += 1
      }
      #expect(at == needed[layer].count)
      rig.streamer.end()
    }
  }

  @Test(arguments: [ReadBackendKind.uring, .pread], [9, 12, 24, 40, 64])
  func nothingIsReadTwiceInAPass(backend: ReadBackendKind, slots: Int) throws {
    let (layers, experts) = (4, 16)
    let source = try StreamingStore(layers: layers, experts: experts)
    let rig = try StreamingRig(
      source, slots: slots, expertsPerToken: 3, options: StreamerOptions(backend: backend))
    let all = Array(repeating: (0..<Int32(experts)).map { $0 }, count: layers)
    for _ in 0..<4 {
      rig.streamer.resetStatistics()
      try pass(rig, layers: layers, needed: all, announced: all)
      rig.streamer.drain()
      let statistics = rig.streamer.statistics
      #expect(statistics.lookups == layers * experts)
      let read = statistics.demandBytes + statistics.speculativeBytes
      let once = (0..<layers).reduce(0) { $0 + experts * source.stride($1) }
      #expect(read <= once, "\(slots) slots")
    }
    // What stays is nearly what fits: the slots not in transit.
    let kept = slots >= layers * experts ? layers * experts : (slots - slots / 8) / layers * layers
    if slots >= layers * 3 {
      #expect(rig.streamer.statistics.misses <= layers * experts - kept / 2)
    }
  }

  @Test func wrongAnnouncementsCostOnlyTheirReading() throws {
    let (layers, experts) = (5, 20)
    let source = try StreamingStore(layers: layers, experts: experts)
    for slots in [8, 16, 33, 60] {
      let rig = try StreamingRig(source, slots: slots, expertsPerToken: 3)
      var dice = Dice(UInt64(slots))
      for _ in 0..<8 {
        let needed = (0..<layers).map { _ in dice.distinct(9, below: experts).sorted() }
        let announced = (0..<layers).map { _ in dice.distinct(12, below: experts).sorted() }
        try pass(rig, layers: layers, needed: needed, announced: announced)
        // Single tokens in between must not be disturbed.
        try rig.request(dice.below(layers), dice.distinct(3, below: experts), .completion)
      }
      rig.streamer.drain()
      #expect(rig.streamer.scheduler.activeReads == 0)
    }
  }

  @Test func announcedRecordsAreThereWhenTheirLayerBegins() throws {
    let source = try StreamingStore(layers: 2, experts: 8)
    let rig = try StreamingRig(source, slots: 15, expertsPerToken: 1)
    rig.streamer.beginToken()
    try rig.begin(0, [0, 1, 2], .request)
    [Int32(4), 6].withUnsafeBufferPointer { rig.streamer.announce(layer: 1, experts: $0) }
    while let delivery = try rig.streamer.next() { rig.streamer.release(delivery.position) }
    try rig.request(1, [4, 6], .request)
    let statistics = rig.streamer.statistics
    #expect(statistics.misses == 3)
    #expect(statistics.hits + statistics.hitsInFlight == 2)
    #expect(statistics.speculativeUsedBytes == 2 * source.stride(1))
  }
}
