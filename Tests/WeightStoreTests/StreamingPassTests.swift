import Support
import Testing

@_spi(Testing) @testable import WeightStore

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
