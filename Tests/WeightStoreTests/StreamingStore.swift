import Glibc
import Logging
import Support
import Testing

@_spi(Testing) @testable import WeightStore

/// SplitMix64: the same numbers on every run.
struct Dice {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func roll() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int(roll() % UInt64(bound)) }

  /// Distinct experts, few of them popular.
  mutating func distinct(_ count: Int, below bound: Int) -> [Int32] {
    var chosen: [Int32] = []
    while chosen.count < count {
      let candidate = Int32(min(below(bound), below(bound)))
      if !chosen.contains(candidate) { chosen.append(candidate) }
    }
    return chosen
  }
}

/// A small store of random records on a real file system, removed with its owner.
final class StreamingStore {
  let path: String
  let store: Store
  /// Every layer's file.
  let contents: [[UInt8]]

  /// Layers get different strides, none of them a multiple of the piece sizes tests use.
  init(
    layers: Int, experts: Int, columns: Int = 2100, in directory: String? = nil, seed: UInt64 = 1
  ) throws {
    let parent = directory ?? Self.diskDirectory
    path = parent + "/flashmoe-streaming-\(getpid())-\(UInt64.random(in: 0 ... .max)).fmoe"
    try FileSystem.createDirectory(path)
    try FileSystem.createDirectory(path + "/experts")
    var dice = Dice(seed)
    var contents: [[UInt8]] = []
    var entries: [Manifest.Layer] = []
    for index in 0..<layers {
      let layout = RecordLayout([
        ("gate_up", .vector(count: columns + 1111 * (index % 3))),
        ("down", .vector(count: columns)),
      ])
      var bytes = [UInt8](repeating: 0, count: experts * layout.stride)
      var checksums: [Checksum] = []
      for expert in 0..<experts {
        let start = expert * layout.stride
        for at in 0..<layout.bytes / 8 {
          let word = dice.roll()
          withUnsafeBytes(of: word) { source in
            for byte in 0..<8 { bytes[start + at * 8 + byte] = source[byte] }
          }
        }
        checksums.append(
          bytes.withUnsafeBytes {
            Checksum(of: UnsafeRawBufferPointer(rebasing: $0[start..<start + layout.bytes]))
          })
      }
      // The model's layers need not start at zero or be consecutive.
      let layer = Manifest.Layer(layer: 2 * index + 1, record: layout, checksums: checksums)
      try FileSystem.writeAtomically(bytes, to: path + "/" + layer.file)
      entries.append(layer)
      contents.append(bytes)
    }
    let manifest = Manifest(
      name: "streaming", config: .object([:]), residentBytes: 0, residents: [], layers: entries,
      companions: [], source: .null)
    try FileSystem.writeAtomically([], to: path + "/" + Manifest.residentFileName)
    try FileSystem.writeAtomically(manifest.serialized(), to: path + "/" + Manifest.fileName)
    store = try Store(opening: path)
    self.contents = contents
  }

  deinit { try? FileSystem.remove(path) }

  /// A directory on a disk: the package's build folder, because /tmp may be in memory.
  static let diskDirectory: String = {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let build = "/" + root + "/.build"
    return FileSystem.isDirectory(build) ? build : "/tmp"
  }()

  func stride(_ layer: Int) -> Int { store.manifest.layers[layer].record.stride }

  func filePath(_ layer: Int) -> String { store.filePath(store.manifest.layers[layer].file) }

  /// Whether a delivery is the record in the file, to the last byte.
  func agrees(_ delivery: Delivery, layer: Int) -> Bool {
    contents[layer].withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return memcmp(delivery.record, base + delivery.expert * stride(layer), stride(layer)) == 0
    }
  }

  /// Whether a delivery's first section is the file's.
  func headAgrees(_ delivery: Delivery, layer: Int) -> Bool {
    contents[layer].withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return false }
      return memcmp(
        delivery.record, base + delivery.expert * stride(layer),
        store.manifest.layers[layer].record.headBytes) == 0
    }
  }
}

/// A streamer with an arena of its own, which starts out full of garbage.
final class StreamingRig {
  let source: StreamingStore
  let memory: UnsafeMutableRawPointer
  let arena: SlotArena
  let streamer: ExpertStreamer
  let log = LogRecorder()

  init(
    _ source: StreamingStore, slots: Int, expertsPerToken: Int,
    options: StreamerOptions = StreamerOptions()
  ) throws {
    self.source = source
    let slotBytes = source.store.manifest.layers.map(\.record.stride).max() ?? 4096
    memory = .allocate(byteCount: slots * slotBytes, alignment: 4096)
    memset(memory, 0x5A, slots * slotBytes)
    arena = SlotArena(base: memory, slotBytes: slotBytes, slotCount: slots)
    let recorder = log
    let logger = Logger(label: "test") { _ in recorder }
    do {
      streamer = try ExpertStreamer(
        store: source.store, arena: arena, expertsPerToken: expertsPerToken, options: options,
        logger: logger)
    } catch {
      memory.deallocate()
      throw error
    }
  }

  deinit {
    streamer.drain()
    memory.deallocate()
  }

  /// Runs a whole request as the engine does and checks every delivery.
  func request(_ layer: Int, _ experts: [Int32], _ order: DeliveryOrder) throws {
    try experts.withUnsafeBufferPointer {
      try streamer.begin(layer: layer, experts: $0, order: order)
    }
    var seen: Set<Int> = []
    while let delivery = try streamer.next() {
      #expect(Int32(delivery.expert) == experts[delivery.position])
      #expect(source.agrees(delivery, layer: layer))
      #expect(seen.insert(delivery.position).inserted)
      if order == .request { #expect(delivery.position == seen.count - 1) }
      streamer.release(delivery.position)
    }
    #expect(seen.count == experts.count)
    #expect(streamer.remaining == 0)
    streamer.end()
  }

  func prefetch(_ layer: Int, _ experts: [Int32]) {
    experts.withUnsafeBufferPointer { streamer.prefetch(layer: layer, experts: $0) }
  }

  func begin(_ layer: Int, _ experts: [Int32], _ order: DeliveryOrder) throws {
    try experts.withUnsafeBufferPointer {
      try streamer.begin(layer: layer, experts: $0, order: order)
    }
  }
}

/// Keeps what was said, to see that it was said once.
final class LogRecorder: LogHandler, @unchecked Sendable {
  var messages: [String] = []
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) { messages.append("\(event.message)") }
}

/// The `Failure` an operation throws, or nil.
func failure(of body: () throws -> Void) -> Failure? {
  do {
    try body()
    return nil
  } catch {
    return error as? Failure
  }
}
