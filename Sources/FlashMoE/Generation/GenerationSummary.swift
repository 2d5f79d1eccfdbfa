import Support
import WeightStore

/// What a generation did and what it cost; plain values.
public struct GenerationSummary: Sendable {
  /// One stage of a generation.
  public struct Stage: Sendable {
    public var tokens = 0
    public var seconds = 0.0
    public var streaming = StreamStatistics()
    public var times = PhaseTimes()
    public var speculation = SpeculationStatistics()
    public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
  }

  public var promptTokens: [Int32] = []
  public var tokens: [Int32] = []
  public var finishReason = FinishReason.length
  /// Prompt tokens whose keys and values were still in the cache.
  public var reusedTokens = 0
  public var prefill = Stage()
  public var decode = Stage()
  public var seed: UInt64 = 0
  public var memory = ProcessMemory(peakBytes: 0, source: "", limitBytes: nil)
  public var budgetBytes = 0

  public init() {}
}
