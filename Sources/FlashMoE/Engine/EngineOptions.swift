import CLinux
import Support
import WeightStore

/// How activations enter products with quantized weights.
public enum ActivationType: String, Sendable, CaseIterable {
  /// Int8, one scale per 32 columns: fastest; its cost is measured in docs/quantization.md.
  case int8
  /// f32: the weights' own error only.
  case f32
}

/// What an engine is built from; every field has a default that fits the machine.
public struct EngineOptions: Sendable {
  /// Everything the process may use, in bytes; nil takes most of the available memory.
  public var budgetBytes: Int?
  /// Positions the key/value cache holds; nil takes up to 4096, fewer in small budgets.
  public var contextLength: Int?
  /// Prompt tokens that go through a layer together; nil takes what the budget allows.
  public var chunkLength: Int?
  /// Cache slots; nil takes all the budget leaves.
  public var slotCount: Int?
  public var threadCount: Int
  /// Which processors the threads run on.
  public var placement: ThreadPlacement.Choice
  /// nil takes int8, or f32 for a store that was packed to keep its source's numbers.
  public var activations: ActivationType?
  /// nil takes f16, or f32 where the weights are not quantized or keep their source's numbers.
  public var keyValueType: KeyValueType?
  public var kernelLevel: KernelLevel?
  public var streamer: StreamerOptions
  /// Whether the cache starts with what the store's profile calls popular.
  public var warmFill = true

  public init(
    budgetBytes: Int? = nil, contextLength: Int? = nil, chunkLength: Int? = nil,
    slotCount: Int? = nil, threadCount: Int? = nil,
    placement: ThreadPlacement.Choice = .automatic, activations: ActivationType? = nil,
    keyValueType: KeyValueType? = nil, kernelLevel: KernelLevel? = nil,
    streamer: StreamerOptions = StreamerOptions()
  ) {
    self.budgetBytes = budgetBytes
    self.contextLength = contextLength
    self.chunkLength = chunkLength
    self.slotCount = slotCount
    // A placement that cannot be is an error when the engine is built, and names the flag then.
    self.threadCount =
      threadCount ?? (try? ThreadPlacement.system(placement))?.defaultThreadCount
      ?? Self.processorCount
    self.placement = placement
    self.activations = activations
    self.keyValueType = keyValueType
    self.kernelLevel = kernelLevel
    self.streamer = streamer
  }

  /// What `activations` comes to for a store.
  func activations(for manifest: Manifest) -> ActivationType {
    activations ?? (manifest.keepsSourceNumbers ? .f32 : .int8)
  }

  /// More threads than this are refused: no machine gains from them.
  public static let threadLimit = 256

  /// - Throws: `Failure(.usage)` naming the flag whose value makes no sense.
  func validate() throws(Failure) {
    guard (1...Self.threadLimit).contains(threadCount) else {
      throw Failure(.usage, "--threads", "\(threadCount); it must be from 1 to \(Self.threadLimit)")
    }
    _ = try resolvedPlacement()
  }

  /// - Throws: `Failure(.usage)` for processors this process may not use.
  func resolvedPlacement() throws(Failure) -> ThreadPlacement {
    try ThreadPlacement.system(placement, threadCount: threadCount)
  }

  /// Processors this process may run on.
  public static var processorCount: Int { Int(fm_processor_count()) }
}

extension Manifest {
  /// Whether everything was packed with `--scheme none`: whoever asks for the source's own numbers
  /// wants its own results, so products and cache default to f32 as well.
  public var keepsSourceNumbers: Bool {
    source["experts"]?.string == SchemeChoice.keep.name
      && source["residents"]?.string == SchemeChoice.keep.name
  }
}
