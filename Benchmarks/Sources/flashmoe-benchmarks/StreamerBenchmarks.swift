import Support
import WeightStore

/// What the streamer gets from the disk when nothing is computed, beside what fio gets.
struct StreamerBenchmarks {
  let store: Store

  private static let seconds = 2.0
  private static let slotCount = 128
  private static let depth = 64
  private static let blockBytes = 512 << 10

  func run() throws(Failure) -> [Measurement] {
    guard let first = store.manifest.layers.first else { return [] }
    let files = store.manifest.recordFiles.map { store.filePath($0.file) }
    func disk() throws(Failure) -> Double? {
      try Fio.measure(
        files, blockBytes: Self.blockBytes, depth: Self.depth, recordBytes: first.record.stride)
    }
    // The disk may be shared and move: fio before and after, and the better of both counts.
    let before = try disk()
    var measurements: [Measurement] = []
    measurements.append(try measure("whole layers in file order", order: .request))
    measurements.append(try measure("8 experts of a layer at a time", order: .completion))
    let limit = [before, try disk()].compactMap(\.self).max()
    for index in measurements.indices {
      measurements[index].limit = limit
      measurements[index].limitName = limit == nil ? "fio is not installed" : "fio"
    }
    return measurements
  }

  /// Asks for records until the time is up; nothing is asked for while it can still be cached.
  private func measure(_ name: String, order: DeliveryOrder) throws(Failure) -> Measurement {
    let layers = store.manifest.layers
    let stride = layers.map(\.record.stride).max() ?? RecordLayout.alignment
    let memory = try Memory(byteCount: stride * Self.slotCount)
    let perRequest = 8
    let streamer = try ExpertStreamer(
      store: store,
      arena: SlotArena(base: memory.base, slotBytes: stride, slotCount: Self.slotCount),
      expertsPerToken: perRequest,
      options: StreamerOptions(
        policy: .lru, prefetch: false, queueDepth: Self.depth, readBytes: Self.blockBytes,
        verifyChecksums: false))
    defer { streamer.drain() }
    try store.dropPageCache()
    var lists: [[Int32]] = []
    for layer in layers {
      let count = order == .request ? layer.expertCount : min(perRequest, layer.expertCount)
      lists.append((0..<Int32(count)).map { $0 })
    }
    let start = Clock.nanoseconds()
    var turn = 0
    repeat {
      let layer = turn % layers.count
      if layer == 0 { streamer.beginToken() }
      if order == .completion {
        // Other experts every time around: none of them is cached any more.
        let count = Int32(layers[layer].expertCount)
        for index in lists[layer].indices {
          lists[layer][index] = Int32(turn / layers.count * perRequest + index) % count
        }
      }
      try request(streamer, layer: layer, experts: lists[layer], order: order)
      turn += 1
    } while Clock.seconds(since: start) < Self.seconds
    let elapsed = Clock.seconds(since: start)
    let statistics = streamer.statistics
    return Measurement(
      group: .streamer, name: name, value: Double(statistics.demandBytes) / elapsed,
      unit: .bytesPerSecond,
      note: "\(ByteCount.fixed(statistics.hitRate * 100, digits: 0)) % hits, "
        + streamer.backendDescription)
  }

  private func request(
    _ streamer: ExpertStreamer, layer: Int, experts: [Int32], order: DeliveryOrder
  ) throws(Failure) {
    var failure: Failure?
    experts.withUnsafeBufferPointer { experts in
      do throws(Failure) {
        try streamer.begin(layer: layer, experts: experts, order: order)
        while let delivery = try streamer.next() { streamer.release(delivery.position) }
      } catch { failure = error }
    }
    streamer.end()
    if let failure { throw failure }
  }
}
