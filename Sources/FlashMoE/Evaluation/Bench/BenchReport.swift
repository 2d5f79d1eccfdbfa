import Support
import WeightStore

/// All rows of a benchmark and what they were measured on.
public struct BenchReport: Sendable {
  public var store: StoreSummary
  public var storePath: String
  public var threadCount: Int
  public var budgetBytes: Int
  public var slotCount: Int
  public var recordCount: Int
  public var contextLength: Int
  public var chunkLength: Int
  public var activations: ActivationType
  public var policy: CachePolicyKind
  public var prefetch: Bool
  public var placement: String
  public var kernels: String
  public var streaming: String
  /// Which tokens were fed, in words.
  public var text: String
  public var repetitions: Int
  public var speculation: Speculation
  public var rows: [BenchRow]
  /// nil when it was not measured.
  public var disk: DiskMeasurement?
  /// Where the peak comes from.
  public var memorySource: String

  init(
    engine: Engine, text: BenchText, options: BenchOptions, rows: [BenchRow],
    disk: DiskMeasurement?
  ) {
    store = StoreSummary(engine.store, engine.configuration)
    storePath = engine.store.path
    threadCount = engine.options.threadCount
    budgetBytes = engine.plan.budgetBytes
    slotCount = engine.plan.slotCount
    recordCount = engine.plan.recordCount
    contextLength = engine.plan.contextLength
    chunkLength = engine.plan.chunkLength
    activations = engine.activations
    policy = engine.options.streamer.policy
    prefetch = engine.options.streamer.prefetch
    placement = engine.placementDescription
    kernels = engine.kernelDescription
    streaming = engine.streamingDescription
    self.text = text.description
    repetitions = options.repetitions
    speculation = options.speculation
    self.rows = rows
    self.disk = disk
    memorySource = ProcessMemory.current().source
  }

  public var highestPeakBytes: Int { rows.map(\.peakBytes).max() ?? 0 }
}
