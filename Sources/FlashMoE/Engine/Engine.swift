import Logging
import Support
import Synchronization
import Tokenization
import WeightStore

/// A model ready to run inside its RAM budget.
///
/// ```swift
/// let engine = try Engine(store: Store(opening: "model.fmoe"), options: EngineOptions(budgetBytes: 6 << 30))
/// let generation = engine.generate(.text("Once upon a time"))
/// for try await token in generation { print(token.text, terminator: "") }
/// print(generation.summary?.decode.tokensPerSecond ?? 0)
/// ```
///
/// All work happens on the engine's own thread, one generation at a time, in the order asked.
/// Dropping or cancelling a generation stops it after the current token; the engine stays usable.
public final class Engine: Sendable {
  public let store: Store
  public let configuration: ModelConfiguration
  public let options: EngineOptions
  public let plan: MemoryPlan
  /// Numbers that meet quantized weights in products.
  public let activations: ActivationType
  /// nil when the store has no vocabulary (synthetic stores): prompts are token ids then.
  public let tokenizer: Tokenizer?
  /// Tokens that end a text, from `generation_config.json` or the model's configuration.
  public let endTokens: [Int32]
  /// Which kernels and which readers are in use, in words.
  public let kernelDescription: String
  public let streamingDescription: String
  /// Which processors the threads run on, in words.
  public let placementDescription: String
  /// Records loaded at start because the profile calls them popular.
  public let warmedRecords: Int

  private let thread: SerialThread
  private let box: CoreBox

  /// Touched on the engine's thread only.
  private final class CoreBox: @unchecked Sendable {
    var core: EngineCore?
  }

  /// - Throws: `Failure` when the store is damaged, the model unknown, or the budget too small.
  public init(
    store: Store, options: EngineOptions = EngineOptions(),
    logger: Logger = Logger(label: "flashmoe")
  ) throws(Failure) {
    let manifestPath = store.filePath(Manifest.fileName)
    let configuration = try ModelRegistry.read(
      store.manifest.config, subject: manifestPath + ", config"
    ).configuration
    let tokenizer = try Self.tokenizer(of: store)
    let placement = try options.resolvedPlacement()
    // Thread 0 of the pool.
    let thread = try SerialThread(name: "flashmoe-engine", cpus: placement.compute)
    let box = CoreBox()
    // The ring belongs to the thread that makes it, so the core is built where it will work.
    let built: Result<Built, Failure> = thread.perform {
      do throws(Failure) {
        let core = try EngineCore(
          store: store, configuration: configuration, options: options, placement: placement,
          logger: logger)
        box.core = core
        return .success(
          Built(
            plan: core.plan, kernels: core.kernelName, streaming: core.streamerDescription,
            warmed: core.warmedRecords))
      } catch {
        return .failure(error)
      }
    }
    let summary = try built.get()
    self.store = store
    self.configuration = configuration
    self.options = options
    activations = options.activations(for: store.manifest)
    self.tokenizer = tokenizer
    self.thread = thread
    self.box = box
    plan = summary.plan
    kernelDescription = summary.kernels
    streamingDescription = summary.streaming
    placementDescription = placement.summary
    warmedRecords = summary.warmed
    endTokens = try Self.endTokens(of: store, configuration)
  }

  deinit {
    // The core's ring and arena go away on their own thread; the thread runs this before it ends.
    // Not waited for: the last reference may die in a job on that very thread.
    let box = box
    thread.enqueue { box.core = nil }
  }

  private struct Built: Sendable {
    var plan: MemoryPlan
    var kernels: String
    var streaming: String
    var warmed: Int
  }

  /// The plan alone, without loading anything.
  public static func plan(store: Store, options: EngineOptions) throws(Failure) -> MemoryPlan {
    let configuration = try ModelRegistry.read(
      store.manifest.config, subject: store.filePath(Manifest.fileName) + ", config"
    ).configuration
    return try MemoryPlanner(
      manifest: store.manifest, configuration: configuration, options: options, subject: store.path
    ).plan()
  }

  /// A store's tokenizer, or nil where it has none.
  public static func tokenizer(of store: Store) throws(Failure) -> Tokenizer? {
    guard let bytes = try store.companion("tokenizer.json") else { return nil }
    var configuration = JSONValue.null
    if let bytes = try store.companion("tokenizer_config.json") {
      configuration = try JSONValue.parse(
        bytes, subject: store.filePath("tokenizer_config.json"))
    }
    return try Tokenizer(
      bytes: bytes, subject: store.filePath("tokenizer.json"), configuration: configuration)
  }

  private static func endTokens(of store: Store, _ configuration: ModelConfiguration)
    throws(Failure) -> [Int32]
  {
    guard let bytes = try store.companion("generation_config.json") else {
      return configuration.endTokens
    }
    let subject = store.filePath("generation_config.json")
    let reader = ConfigurationReader(
      root: try JSONValue.parse(bytes, subject: subject), subject: subject)
    let tokens = try reader.integers("eos_token_id", in: 0...(1 << 26)).map { Int32($0) }
    return tokens.isEmpty ? configuration.endTokens : tokens
  }

  /// Runs a job with the core on the engine's thread and waits for it.
  func withCore<Value: Sendable>(
    _ job: @escaping @Sendable (EngineCore) throws(Failure) -> Value
  ) throws(Failure) -> Value {
    let box = box
    let result: Result<Value, Failure> = thread.perform {
      guard let core = box.core else { return .failure(Self.closed) }
      do throws(Failure) {
        return .success(try job(core))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Queues a job with the core.
  func enqueue(_ job: @escaping @Sendable (Result<EngineCoreReference, Failure>) -> Void) {
    let box = box
    thread.enqueue {
      job(box.core.map { .success(EngineCoreReference(core: $0)) } ?? .failure(Self.closed))
    }
  }

  private static let closed = Failure(.cancelled, "engine", "it was closed")

  /// Token ids of a prompt.
  ///
  /// - Throws: `Failure(.usage)` for text when the store has no vocabulary.
  public func encode(_ prompt: Prompt) throws(Failure) -> [Int32] {
    switch prompt {
    case .tokens(let tokens): return tokens
    case .text(let text, let parsesSpecialTokens):
      guard let tokenizer else {
        throw Failure(
          .usage, store.path, "it has no tokenizer, so it cannot read text",
          remedy: "Give token ids (--ids)")
      }
      return try tokenizer.encode(
        text, addSpecialTokens: true, parseSpecial: parsesSpecialTokens)
    }
  }

  /// Forgets all context: the next prompt starts from nothing.
  public func reset() throws(Failure) {
    try withCore { core in core.startAgain() }
  }
}

/// The core as seen inside a job on the engine's thread.
struct EngineCoreReference: @unchecked Sendable {
  let core: EngineCore
}
