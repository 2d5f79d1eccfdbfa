import Logging
import Support

/// Delivers experts' records from disk or cache: the one issuer of reads.
///
/// Used by one thread, one request at a time: `begin`, then `next` until nil with a `release` for
/// each delivery, then `end`.  `docs/streaming.md` describes the flow and its invariants.
public final class ExpertStreamer {
  public let store: Store
  public let arena: SlotArena
  public let options: StreamerOptions
  /// "io_uring, 64 fixed buffers, O_DIRECT" or what took its place and why.
  public let backendDescription: String

  let files: LayerFiles
  var scheduler: ReadScheduler
  var cache: ExpertCache<SelectedPolicy>
  var governor: PrefetchGovernor
  var decision: CacheDecision
  var counters = StreamStatistics()
  /// One bit a record: its checksum agreed once.
  var verified: [UInt64]
  let largestLayer: Int
  let expertsPerToken: Int

  /// Where an expert of the open request stands.
  enum Progress: UInt8 {
    case unplaced, reading, headReady, ready, delivered, released
  }

  // The open request; arrays by position.
  var isOpen = false
  var layer = 0
  var order = DeliveryOrder.completion
  var count = 0
  var deliveredCount = 0
  var deferredCount = 0
  var experts: [Int32]
  var progress: [Progress]
  var slotOfPosition: [Int32]
  var isHit: [Bool]
  /// Positions in the order in which they became ready.
  var readyQueue: IndexQueue
  /// Positions whose first section landed, where the request wants to know.
  var headQueue: IndexQueue
  var wantsHeads = false
  /// Position of the open request a slot was placed for, or -1.
  var positionOfSlot: [Int32]
  /// What ended the open request; `next` throws it until `end`.
  var failure: Failure?

  // Predictions that have no slot yet.
  var candidates: [Int32]
  var candidateLayer = 0
  var nextCandidate = 0
  var speculation = Speculation.token
  let tokenSpeculationLimit: Int
  // The last ranked prediction, until its layer begins.
  var predictions: PredictionRecord
  var watched: [(rank: Int, expert: Int32)]
  var watchedCount = 0
  var watchedLayer = 0

  /// Slots below which not even one layer of one token can be held.
  public static func minimumSlots(expertsPerToken: Int) -> Int { max(1, expertsPerToken) }

  /// Opens the store's record files and the backend.
  ///
  /// - Parameters:
  ///   - arena: outlives the streamer's reads; call `drain()` before it goes away.
  ///   - expertsPerToken: the most experts one `begin` asks for in completion order.
  /// - Throws: `Failure` for a missing or truncated layer file, an arena that is too small or
  ///   misaligned, a backend or O_DIRECT asked for by name and refused.
  public init(
    store: Store, arena: SlotArena, expertsPerToken: Int, options: StreamerOptions = .init(),
    logger: Logger = Logger(label: "flashmoe.stream")
  ) throws(Failure) {
    let layers = store.manifest.layers
    let stride = max(store.manifest.largestStride, RecordLayout.alignment)
    try Self.check(arena, stride: stride, expertsPerToken: expertsPerToken)
    self.store = store
    self.arena = arena
    self.options = options
    self.expertsPerToken = expertsPerToken
    let depth = options.depth
    files = try LayerFiles(
      store: store, mode: options.direct, scratch: arena.base,
      directError: options.faults.directError)
    let (reader, summary) = try RecordReader.make(
      options.backend, files: files, arena: arena, depth: depth,
      processors: options.serviceProcessors, faults: options.faults, logger: logger)
    backendDescription = summary
    scheduler = ReadScheduler(
      reader: reader, files: files, arena: arena, depth: depth, pieceBytes: options.pieceBytes,
      faults: options.faults)
    let layerExperts = layers.map(\.expertCount)
    let partition = CachePartition(
      slotCount: arena.slotCount, layerExperts: layerExperts, expertsPerToken: expertsPerToken)
    if !partition.isGlobal {
      let needed = CachePartition.workingSet(
        layerExperts: layerExperts, expertsPerToken: expertsPerToken)
      logger.notice(
        "cache partitioned by layer: \(arena.slotCount) slots are fewer than the \(needed) records of one token, which a shared cache would replace before using them again"
      )
    }
    cache = ExpertCache(
      partition: partition, layerExperts: layerExperts,
      policy: Self.policy(options, layerExperts, expertsPerToken, slotCount: arena.slotCount),
      readAheadRecords: 2 + (depth * options.pieceBytes / 2) / stride)
    governor = PrefetchGovernor(judgedBytes: 8 * stride)
    largestLayer = layerExperts.max() ?? 0
    decision = CacheDecision(capacity: largestLayer)
    verified = Array(repeating: 0, count: (store.manifest.recordCount + 63) / 64)
    experts = Array(repeating: 0, count: largestLayer)
    progress = Array(repeating: .unplaced, count: largestLayer)
    slotOfPosition = Array(repeating: -1, count: largestLayer)
    isHit = Array(repeating: false, count: largestLayer)
    readyQueue = IndexQueue(capacity: largestLayer)
    headQueue = IndexQueue(capacity: largestLayer)
    positionOfSlot = Array(repeating: -1, count: arena.slotCount)
    predictions = PredictionRecord(layerCount: layers.count, rankCount: expertsPerToken)
    watched = Array(repeating: (0, 0), count: predictions.rankCount)
    candidates = []
    candidates.reserveCapacity(largestLayer)
    // Speculation never takes the slots one token's demand may need.
    tokenSpeculationLimit = min(
      max(2, min(8, (4 << 20) / stride)), arena.slotCount - max(1, expertsPerToken))
    counters.layerLookups = Array(repeating: 0, count: layers.count)
    counters.layerHits = Array(repeating: 0, count: layers.count)
  }

  deinit {
    // The kernel may still be writing into the arena; errors have nobody to go to.
    drain()
  }

  private static func check(_ arena: SlotArena, stride: Int, expertsPerToken: Int) throws(Failure) {
    let alignment = RecordLayout.alignment
    guard arena.slotBytes >= stride, arena.slotBytes % alignment == 0,
      Int(bitPattern: arena.base) % alignment == 0
    else {
      throw Failure(
        .mismatch, "cache arena",
        "slots of \(arena.slotBytes) bytes cannot hold records of \(stride), or are not page-aligned"
      )
    }
    let minimum = minimumSlots(expertsPerToken: expertsPerToken)
    guard arena.slotCount >= minimum else {
      throw Failure(
        .budget, "cache arena",
        "\(arena.slotCount) slots of \(ByteCount.format(arena.slotBytes)) where one layer of one token needs \(minimum)",
        remedy: "Raise the memory budget or shorten the context")
    }
  }

  // MARK: Requests

  /// Whether every record of the store is cached: nothing will be read any more.
  public var holdsEverything: Bool { cache.residentRecords == store.manifest.recordCount }

  /// Whether `prefetch` would do anything now.
  public var wantsPredictions: Bool {
    options.prefetch && tokenSpeculationLimit > 0 && !governor.isSuspended && !holdsEverything
  }

  /// Whether some experts of the open request wait for others to be released.
  public var isShortOfSlots: Bool { deferredCount > 0 }

  /// Experts of the open request that `next` has not delivered yet.
  public var remaining: Int { isOpen ? count - deliveredCount : 0 }

  /// Asks for distinct experts of a layer; an open request is ended first.
  ///
  /// - Parameters:
  ///   - layer: index into the manifest's layers.
  ///   - order: `.completion` or `.request`; see `DeliveryOrder`.
  ///   - wantsHeads: in completion order, also delivers records whose first section is there
  ///     while the rest is still on its way; see `Delivery.isWhole`.
  /// - Throws: `Failure(.usage)` for a layer or expert out of range or an expert that stands
  ///   twice; reading errors come from `next`.
  public func begin(
    layer: Int, experts: UnsafeBufferPointer<Int32>, order: DeliveryOrder, wantsHeads: Bool = false
  ) throws(Failure) {
    end()
    guard store.manifest.layers.indices.contains(layer) else {
      throw Failure(.usage, store.path, at: "layer index \(layer)", "the store has no such layer")
    }
    let expertCount = store.manifest.layers[layer].expertCount
    for expert in experts where expert < 0 || expert >= expertCount {
      throw Failure(.usage, store.path, at: "layer index \(layer)", "there is no expert \(expert)")
    }
    if layer == candidateLayer { dropCandidates() }
    settle(wait: false)
    guard experts.count <= expertCount, cache.open(layer: layer, experts: experts, order: order)
    else {
      throw Failure(.usage, store.path, at: "layer index \(layer)", "an expert is asked for twice")
    }
    judgePredictions(layer: layer, experts: experts)
    isOpen = true
    self.layer = layer
    self.order = order
    self.wantsHeads = wantsHeads && order == .completion
    count = experts.count
    deliveredCount = 0
    for position in 0..<count {
      self.experts[position] = experts[position]
      progress[position] = .unplaced
      slotOfPosition[position] = -1
    }
    deferredCount = count
    advance(wait: false)
  }

  /// The next expert of the open request; sleeps until its bytes are there.
  ///
  /// - Returns: nil when all were delivered.
  /// - Throws: `Failure` naming file, layer, expert and offset; the request is lost then, `end`
  ///   it.  `Failure(.usage)` when every slot is held by deliveries that were not released.
  public func next() throws(Failure) -> Delivery? {
    if let delivery = try nextIfReady() { return delivery }
    guard remaining > 0 else { return nil }
    let start = Clock.nanoseconds()
    defer { counters.waitNanoseconds += Clock.nanoseconds() - start }
    while true {
      guard scheduler.activeReads > 0 else {
        throw Failure(
          .usage, "cache arena", "all \(arena.slotCount) slots are in use",
          remedy: "Release deliveries before asking for more")
      }
      advance(wait: true)
      if let delivery = try takeReady() { return delivery }
    }
  }

  /// Like `next`, but returns nil also when no expert is ready yet.
  public func nextIfReady() throws(Failure) -> Delivery? {
    guard remaining > 0 else { return nil }
    // Also when one is ready: the disk must not run dry while the engine computes.
    poll()
    return try takeReady()
  }

  /// Notices what landed and keeps the disk busy, without waiting; for long computations between
  /// requests.  Costs a system call when reads are in flight, and nothing otherwise.
  public func poll() {
    if scheduler.activeReads > 0 || deferredCount > 0 { advance(wait: false) }
  }

  /// The engine is done with a delivery; its slot may be reused.
  public func release(_ position: Int) {
    guard isOpen, position >= 0, position < count, progress[position] == .delivered else { return }
    unpin(position)
    if deferredCount > 0 { advance(wait: false) }
  }

  /// Closes the request and unpins all its slots, also after an error or in the middle.
  ///
  /// Reads that were not issued are dropped.  Those in flight keep their slots until they land and
  /// are adopted by whoever asks for them next.
  public func end() {
    guard isOpen else { return }
    isOpen = false
    failure = nil
    deferredCount = 0
    readyQueue.removeAll()
    headQueue.removeAll()
    for position in 0..<count where slotOfPosition[position] >= 0 {
      let slot = Int(slotOfPosition[position])
      let wasReading = progress[position] == .reading || progress[position] == .headReady
      if progress[position] != .released { unpin(position) }
      if wasReading { scheduler.abandon(slot: slot) }
    }
    cache.close()
    settle(wait: false)
  }

  private func unpin(_ position: Int) {
    let slot = Int(slotOfPosition[position])
    progress[position] = .released
    positionOfSlot[slot] = -1
    cache.unpin(slot)
  }

  /// A new token or prefill chunk: ages the prediction's record and the protection of demand.
  ///
  /// - Parameter tokens: their ids, which policies may learn from.
  public func beginToken(_ tokens: UnsafeBufferPointer<Int32> = .init(start: nil, count: 0)) {
    cache.beginToken(tokens)
    let now = Clock.nanoseconds()
    governor.token(
      PrefetchGovernor.Reading(
        nanoseconds: now, demandBusyNanoseconds: scheduler.accounts.demandBusyNanoseconds(at: now),
        issuedBytes: scheduler.accounts.speculativeBytes, usedBytes: counters.speculativeUsedBytes))
  }

  // MARK: Statistics

  public var statistics: StreamStatistics {
    var statistics = counters
    statistics.demandBytes = scheduler.accounts.demandBytes
    statistics.speculativeBytes = scheduler.accounts.speculativeBytes
    statistics.warmBytes = scheduler.accounts.warmBytes
    statistics.busyNanoseconds = scheduler.accounts.busyNanoseconds(at: Clock.nanoseconds())
    statistics.reads = scheduler.accounts.completedReads
    statistics.prefetchSuspended = governor.suspensions
    return statistics
  }

  public func resetStatistics() {
    let layers = store.manifest.layers.count
    counters = StreamStatistics()
    counters.layerLookups = Array(repeating: 0, count: layers)
    counters.layerHits = Array(repeating: 0, count: layers)
    scheduler.resetAccounts()
    governor.resetCounters()
  }
}
