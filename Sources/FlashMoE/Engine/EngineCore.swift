import CKernels
import Logging
import Support
import Tokenization
import WeightStore

/// Everything an engine owns, built once and used by one thread.
final class EngineCore {
  let configuration: ModelConfiguration
  let plan: MemoryPlan
  let decoder: Decoder
  let kernelName: String
  let streamerDescription: String
  let warmedRecords: Int
  private let arena: Arena
  private let streamer: ExpertStreamer?
  /// Tokens whose keys and values are in the cache.
  private(set) var context: [Int32] = []
  /// What drafts come from and whether they pay (docs/speculation.md).
  var draftIndex: NGramIndex
  var draftGovernor: DraftGovernor
  /// Makes drafts in the index's place, from the tokens so far and the most that fit: for tests.
  var draftSource: (([Int32], Int) -> [Int32])?

  /// Plans, maps, loads and checks.
  ///
  /// - Throws: `Failure`: a budget too small, a damaged or mismatching store, a refused option.
  init(
    store: Store, configuration: ModelConfiguration, options: EngineOptions,
    placement: ThreadPlacement, logger: Logger
  ) throws(Failure) {
    self.configuration = configuration
    plan = try MemoryPlanner(
      manifest: store.manifest, configuration: configuration, options: options, subject: store.path
    ).plan()
    let kernels = try Kernels(level: options.kernelLevel)
    kernelName = kernels.name
    let pool = try WorkerPool(threadCount: options.threadCount, cpus: placement.compute)

    arena = try Arena(byteCount: plan.arenaBytes)
    var cutter = ArenaCutter(base: arena.base)
    let page = Arena.pageBytes
    let resident = cutter.take(
      UInt8.self, count: alignUpToPage(store.manifest.residentBytes), alignment: page)
    let state = ModelState(
      configuration, type: plan.keyValueType, contextLength: plan.contextLength, cutter: &cutter)
    let scratch = Scratch(
      configuration, chunkLength: plan.chunkLength, threadCount: pool.threadCount, cutter: &cutter)
    let slots = cutter.take(UInt8.self, count: plan.slotCount * plan.slotBytes, alignment: page)

    try ResidentLoader.load(store, into: UnsafeMutableRawPointer(resident), pool: pool)
    let weights = try ModelWeights(
      WeightResolver(
        store: store, base: UnsafeMutableRawPointer(resident),
        int8Activations: options.activations(for: store.manifest) == .int8), configuration)

    if store.manifest.layers.isEmpty {
      streamer = nil
      streamerDescription = "none: the model has no routed experts"
      warmedRecords = 0
    } else {
      var streamerOptions = options.streamer
      streamerOptions.serviceProcessors = placement.service
      let streamer = try ExpertStreamer(
        store: store,
        arena: SlotArena(
          base: UnsafeMutableRawPointer(slots), slotBytes: plan.slotBytes, slotCount: plan.slotCount
        ),
        expertsPerToken: configuration.experts.perToken, options: streamerOptions, logger: logger)
      self.streamer = streamer
      streamerDescription = streamer.backendDescription
      warmedRecords =
        options.warmFill
        ? try WarmFill.fill(streamer, store: store, slotCount: plan.slotCount) : 0
    }
    draftIndex = NGramIndex(contextLength: plan.contextLength)
    draftGovernor = DraftGovernor(plan)
    decoder = Decoder(
      configuration: configuration, weights: weights, scratch: scratch,
      state: state, kernels: kernels, pool: pool, streamer: streamer,
      prefetches: options.streamer.prefetch)
  }

  /// Forgets what was measured of drafts.
  func resetDrafts() { draftGovernor = DraftGovernor(plan) }

  // No read may be in flight when the arena is unmapped.
  deinit { streamer?.drain() }

  var streamStatistics: StreamStatistics { streamer?.statistics ?? StreamStatistics() }

  /// Starts counting anew: statistics and times.
  func resetStatistics() {
    streamer?.resetStatistics()
    decoder.times = PhaseTimes()
  }

  /// An empty context.
  func startAgain() { rewind(to: 0) }

  /// An empty context and counts at zero: how measurements and comparisons start.
  func startOver() {
    rewind(to: 0)
    resetStatistics()
  }

  /// What was done and what it cost since the counts were reset at `start`.
  func stage(tokens: Int, since start: UInt64) -> GenerationSummary.Stage {
    GenerationSummary.Stage(
      tokens: tokens, seconds: Clock.seconds(since: start), streaming: streamStatistics,
      times: decoder.times)
  }

  /// Runs `body` and returns the experts each token chose meanwhile, by layer.
  func routing(while body: () throws(Failure) -> Void) throws(Failure) -> [LogitsResult.Routing] {
    let perToken = configuration.experts.perToken
    var routing: [Int: LogitsResult.Routing] = [:]
    decoder.routerObserver = { layer, indices, weights, rows in
      let count = rows * perToken
      // Appended in place: a copy of a layer's list for every chunk would be quadratic.
      routing[layer, default: LogitsResult.Routing(layer: layer, indices: [], weights: [])]
        .append(
          UnsafeBufferPointer(start: indices, count: count),
          UnsafeBufferPointer(start: weights, count: count))
    }
    defer { decoder.routerObserver = nil }
    try body()
    return configuration.sparseLayers.compactMap { routing[$0] }
  }

  /// Runs tokens through the model in chunks.
  ///
  /// - Parameter afterChunk: gets the first token's place and the chunk's rows; may ask for
  ///   logits of any row; returning false stops early.
  /// - Throws: what a forward pass throws; tokens done before stay in the context.
  func process(
    _ tokens: [Int32], chunkLength: Int? = nil,
    afterChunk: (_ start: Int, _ rows: Int) throws(Failure) -> Bool = { _, _ in true }
  ) throws(Failure) {
    try check(tokens)
    let limit = min(chunkLength ?? plan.chunkLength, plan.chunkLength)
    var start = 0
    while start < tokens.count {
      let rows = min(limit, tokens.count - start)
      try forward(tokens, start: start, rows: rows)
      guard try afterChunk(start, rows) else { return }
      start += rows
    }
  }

  private func forward(_ tokens: [Int32], start: Int, rows: Int) throws(Failure) {
    var failure: Failure?
    tokens.withUnsafeBufferPointer { buffer in
      do throws(Failure) {
        try decoder.forward(UnsafeBufferPointer(rebasing: buffer[start..<start + rows]))
      } catch {
        failure = error
      }
    }
    if let failure {
      context.removeLast(context.count - min(context.count, decoder.position))
      throw failure
    }
    context.append(contentsOf: tokens[start..<start + rows])
  }

  /// Token ids come from outside: an id past the vocabulary would read past a table.
  private func check(_ tokens: [Int32]) throws(Failure) {
    guard let bad = tokens.first(where: { $0 < 0 || Int($0) >= configuration.vocabularySize })
    else { return }
    throw Failure(
      .usage, "token ids", "\(bad) is outside the vocabulary of \(configuration.vocabularySize)")
  }

  /// Takes over a context whose states lie in the layers' memory already.
  func restored(_ tokens: [Int32], storedEnd: Int) throws(Failure) {
    try check(tokens)
    context = tokens
    decoder.restored(to: tokens.count, storedEnd: storedEnd)
  }

  /// Keeps the part of the context that `prompt` starts with; returns its length.
  ///
  /// At least the prompt's last token is left to run, because its logits are wanted.
  func reuse(for prompt: [Int32]) -> Int {
    var common = 0
    let limit = min(context.count, prompt.count - 1)
    while common < limit, context[common] == prompt[common] { common += 1 }
    return rewind(to: max(common, 0))
  }

  /// Forgets the context after its first `count` tokens; returns how many are left, which is none
  /// where some layer's state cannot be cut back so far.
  @discardableResult
  func rewind(to count: Int) -> Int {
    let left = decoder.rewind(to: count)
    context.removeLast(context.count - min(context.count, left))
    return left
  }
}
