import Support
import WeightStore

/// What goes where inside a RAM budget, decided before anything is allocated.
public struct MemoryPlan: Sendable {
  public struct Item: Sendable {
    public var name: String
    public var bytes: Int
    public var note: String
  }

  /// The limit everything stays under.
  public var budgetBytes: Int
  public var items: [Item]
  public var contextLength: Int
  public var chunkLength: Int
  public var keyValueType: KeyValueType
  public var slotCount: Int
  public var slotBytes: Int
  /// Records of all layers: with as many slots, nothing is ever read twice.
  public var recordCount: Int
  /// Bytes of records one token goes through.
  public var routedBytesPerToken: Int
  /// Bytes of resident weights one decoded token reads from memory.
  public var residentBytesPerToken: Int
  /// The least budget that works with this context length.
  public var minimumBytes: Int

  /// Bytes that 8-bit keys and values would leave to the expert cache; 0 where they are in use.
  public var eightBitSavingBytes: Int

  public var plannedBytes: Int { items.reduce(0) { $0 + $1.bytes } }
  /// Share of the model's records that fit the cache, 0 … 1.
  public var cachedShare: Double {
    recordCount == 0 ? 1 : Double(min(slotCount, recordCount)) / Double(recordCount)
  }
  /// Bytes the engine maps in one piece: all but the process's own share.
  var arenaBytes: Int { plannedBytes - processBytes }
  var processBytes: Int
}

/// Makes a plan from a budget, a model and the options; pure arithmetic.
struct MemoryPlanner {
  let manifest: Manifest
  let configuration: ModelConfiguration
  let options: EngineOptions
  let subject: String

  /// Chunk lengths tried for prefill, longest first: bytes read per prompt token fall with it.
  private static let chunkLengths = [8192, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1]
  private static let defaultContextLength = 4096
  private static let smallestDefaultContextLength = 256

  var keyValueType: KeyValueType {
    if let type = options.keyValueType { return type }
    let quantized = manifest.layers.contains { layer in
      layer.record.sections.contains {
        if case .matrix(let matrix) = $0.layout { matrix.scheme.isQuantized } else { false }
      }
    }
    return quantized && !manifest.keepsSourceNumbers ? .f16 : .f32
  }

  var slotBytes: Int { manifest.largestStride }

  /// What the program needs beside the arena: code, runtime, vocabulary, manifest, stacks.
  var processBytes: Int {
    let vocabulary = manifest.companions.reduce(0) { $0 + $1.bytes }
    return ProcessOverhead.baseBytes + vocabulary * ProcessOverhead.bytesPerCompanionByte
      + manifest.recordCount * ProcessOverhead.bytesPerRecord
      + options.threadCount * ProcessOverhead.bytesPerThread
      + options.streamer.policy.tableBytes(
        layerExperts: manifest.layers.map(\.expertCount),
        expertsPerToken: configuration.experts.perToken)
  }

  func keyValueBytes(_ contextLength: Int, type: KeyValueType? = nil) -> Int {
    ModelState.bytes(configuration, type: type ?? keyValueType, contextLength: contextLength)
  }

  private func scratchBytes(chunk: Int) -> Int {
    Scratch.bytes(configuration, chunkLength: chunk, threadCount: options.threadCount)
  }

  /// Kernel memory for a mapping: page tables and the ring's list of pinned pages.
  private func kernelBytes(_ arenaBytes: Int) -> Int { arenaBytes / 200 }

  private func fixedBytes(context: Int, chunk: Int, type: KeyValueType? = nil) -> Int {
    alignUpToPage(manifest.residentBytes) + keyValueBytes(context, type: type)
      + scratchBytes(chunk: chunk)
  }

  /// All that is not the arena.
  private func programBytes(context: Int, arena: Int) -> Int {
    processBytes + NGramIndex.bytes(contextLength: context) + kernelBytes(arena)
  }

  private func totalBytes(context: Int, chunk: Int, slots: Int, type: KeyValueType? = nil) -> Int {
    let arena = fixedBytes(context: context, chunk: chunk, type: type) + slots * slotBytes
    return arena + programBytes(context: context, arena: arena)
  }

  /// - Throws: `Failure(.budget)` with the least budget that works and what else would help.
  func plan() throws(Failure) -> MemoryPlan {
    try options.validate()
    let budget = options.budgetBytes ?? ProcessMemory.availableBytes() / 100 * 85
    let needed = manifest.layers.isEmpty ? 0 : configuration.experts.perToken
    let context = try contextLength(budget: budget)
    let minimum = totalBytes(context: context, chunk: 1, slots: needed)
    guard minimum <= budget else {
      throw tooSmall(budget: budget, minimum: minimum, context: context, slots: needed)
    }
    let chunk = try chunkLength(budget: budget, context: context, slots: needed)
    let records = manifest.recordCount
    var slots = needed
    if slotBytes > 0 {
      let free = budget - totalBytes(context: context, chunk: chunk, slots: 0)
      // The kernel's share grows with the slots; 201/200 covers it.  The least is known to fit.
      slots = min(records, max(needed, free / (slotBytes + slotBytes / 200 + 1)))
    }
    if let wanted = options.slotCount {
      guard wanted >= needed else {
        throw Failure(
          .usage, "--slots", "\(wanted); a layer of one token needs \(needed)",
          remedy: "Use \(needed) or more")
      }
      guard min(wanted, records) <= slots else {
        throw tooSmall(
          budget: budget,
          minimum: totalBytes(context: context, chunk: chunk, slots: min(wanted, records)),
          context: context, slots: wanted)
      }
      slots = min(wanted, records)
    }
    return assemble(budget: budget, context: context, chunk: chunk, slots: slots, minimum: minimum)
  }

  private func contextLength(budget: Int) throws(Failure) -> Int {
    if let context = options.contextLength {
      guard (1...configuration.maximumPositions).contains(context) else {
        throw Failure(
          .usage, "--ctx", "\(context); this model takes 1 to \(configuration.maximumPositions)")
      }
      return context
    }
    var context = min(configuration.maximumPositions, Self.defaultContextLength)
    let free = budget - processBytes - alignUpToPage(manifest.residentBytes)
    while context > Self.smallestDefaultContextLength, keyValueBytes(context) > max(free, 0) / 5 {
      context /= 2
    }
    return context
  }

  private func chunkLength(budget: Int, context: Int, slots: Int) throws(Failure) -> Int {
    if let chunk = options.chunkLength {
      guard (1...context).contains(chunk) else {
        throw Failure(.usage, "--chunk", "\(chunk); it must be from 1 to the context, \(context)")
      }
      let total = totalBytes(context: context, chunk: chunk, slots: slots)
      guard total <= budget else {
        throw tooSmall(budget: budget, minimum: total, context: context, slots: slots)
      }
      return chunk
    }
    let free = budget - totalBytes(context: context, chunk: 1, slots: slots)
    for chunk in Self.chunkLengths where chunk <= max(context, 1) {
      if scratchBytes(chunk: chunk) <= free / 6 { return chunk }
    }
    return 1
  }

  private func tooSmall(budget: Int, minimum: Int, context: Int, slots: Int) -> Failure {
    var ways = ["Use --ram \(minimum) or more"]
    let shorter = context / 4
    if shorter >= 64 {
      let bytes = totalBytes(context: shorter, chunk: 1, slots: slots)
      ways.append("a shorter context (--ctx \(shorter) needs \(bytes))")
    }
    if keyValueType != .q8 {
      let bytes = totalBytes(context: context, chunk: 1, slots: slots, type: .q8)
      ways.append("8-bit keys and values, which are lossy (--kv q8 needs \(bytes))")
    }
    return Failure(
      .budget, subject,
      "a budget of \(budget) bytes is \(minimum - budget) bytes too small; it needs \(minimum)"
        + " (\(ByteCount.format(minimum))) with a context of \(context)",
      remedy: ways.joined(separator: ", or "))
  }

  private func assemble(budget: Int, context: Int, chunk: Int, slots: Int, minimum: Int)
    -> MemoryPlan
  {
    let scratch = scratchBytes(chunk: chunk)
    let arena = fixedBytes(context: context, chunk: chunk) + slots * slotBytes
    let records = manifest.recordCount
    let program = programBytes(context: context, arena: arena)
    let items = [
      MemoryPlan.Item(
        name: "resident weights", bytes: alignUpToPage(manifest.residentBytes),
        note: "attention, routers, norms, embeddings, head"),
      MemoryPlan.Item(
        name: "key/value cache", bytes: keyValueBytes(context),
        note: "\(context) positions, \(keyValueType.rawValue)"),
      MemoryPlan.Item(
        name: "activations", bytes: scratch, note: "prefill in chunks of \(chunk)"),
      MemoryPlan.Item(
        name: "expert cache", bytes: slots * slotBytes,
        note: "\(slots) of \(records) experts in slots of \(ByteCount.format(slotBytes))"),
      MemoryPlan.Item(
        name: "program", bytes: program,
        note: "code, vocabulary, page tables"),
    ]
    return MemoryPlan(
      budgetBytes: budget, items: items, contextLength: context, chunkLength: chunk,
      keyValueType: keyValueType, slotCount: slots, slotBytes: slotBytes, recordCount: records,
      routedBytesPerToken: manifest.layers.reduce(0) {
        $0 + $1.record.stride * configuration.experts.perToken
      },
      residentBytesPerToken: residentBytesPerToken, minimumBytes: minimum,
      eightBitSavingBytes: max(0, keyValueBytes(context) - keyValueBytes(context, type: .q8)),
      processBytes: program)
  }

  /// All residents but the embedding, of which a token reads one row (unless it is the head too).
  private var residentBytesPerToken: Int {
    manifest.residents.reduce(0) { sum, tensor in
      let isTable = tensor.name == "model.embed_tokens.weight" && !configuration.tiesEmbeddings
      return sum + (isTable ? 0 : tensor.layout.bytes)
    }
  }
}

/// Measured needs of the program itself (docs/memory.md says how).
enum ProcessOverhead {
  static let baseBytes = 6 << 20
  static let bytesPerCompanionByte = 4
  static let bytesPerRecord = 512
  static let bytesPerThread = 128 << 10
}
