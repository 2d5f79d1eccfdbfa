import Glibc
import Support
import Testing

@_spi(Testing) @testable import WeightStore

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
