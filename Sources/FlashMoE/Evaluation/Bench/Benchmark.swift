import Support
import WeightStore

/// Measures an engine: prefill and decode apart, cold and warm told apart.
///
/// Every repetition starts from an empty context on a passage of its own, the same passage for
/// the cold and the warm row.
public struct Benchmark: Sendable {
  public struct Progress: Sendable {
    public var test: BenchTest
    public var cache: BenchCache
    /// 0 is the run that only warms.
    public var repetition: Int
    public var repetitions: Int
  }

  public let engine: Engine
  public let options: BenchOptions
  public let text: BenchText
  public let disk: DiskMeasurement?

  /// - Parameter disk: what the store's disk gives; measure it before the engine takes the budget,
  ///   which leaves a probe no memory.
  /// - Throws: `Failure(.usage)` for options without a test, `.budget` for a context too short.
  public init(
    engine: Engine, options: BenchOptions, text: BenchText, disk: DiskMeasurement? = nil
  ) throws(Failure) {
    self.disk = disk
    self.options = try options.validated()
    self.engine = engine
    self.text = text
    guard options.contextLength <= engine.plan.contextLength else {
      throw Failure(
        .budget, "context",
        "the longest test has \(options.contextLength) tokens where "
          + "\(engine.plan.contextLength) fit",
        remedy: "Use --ctx \(options.contextLength) or shorter tests")
    }
  }

  /// Runs all tests.
  ///
  /// - Throws: what a forward pass throws; `.cancelled` when asked to stop.
  public func run(
    isCancelled: @escaping @Sendable () -> Bool = { false },
    progress: (Progress) -> Void = { _ in }
  ) throws(Failure) -> BenchReport {
    // The first tokens pay for page faults and sleeping cores, which are no part of any test.
    _ = try engine.feed(text.passage(0, count: 1), oneByOne: true, isCancelled: isCancelled)
    var rows: [BenchRow] = []
    for test in options.tests {
      for cache in options.caches {
        rows.append(try run(test, cache, isCancelled: isCancelled, progress: progress))
      }
    }
    return BenchReport(engine: engine, text: text, options: options, rows: rows, disk: disk)
  }

  private func run(
    _ test: BenchTest, _ cache: BenchCache, isCancelled: @escaping @Sendable () -> Bool,
    progress: (Progress) -> Void
  ) throws(Failure) -> BenchRow {
    let repetitions = options.repetitions
    func feed(passage: Int) throws(Failure) -> GenerationSummary.Stage {
      try engine.feed(
        text.passage(passage, count: test.tokens), oneByOne: test.kind == .decode,
        speculation: options.speculation, draftLimit: options.draftLimit,
        isCancelled: isCancelled)
    }
    if cache == .warm {
      progress(Progress(test: test, cache: cache, repetition: 0, repetitions: repetitions))
      // A passage that is not measured: warm means warmed by other text of the same kind.
      _ = try feed(passage: repetitions)
    }
    var samples: [GenerationSummary.Stage] = []
    for repetition in 0..<repetitions {
      progress(
        Progress(test: test, cache: cache, repetition: repetition + 1, repetitions: repetitions))
      if cache == .cold {
        try engine.emptyExpertCache()
        try engine.store.dropPageCache()
      }
      samples.append(try feed(passage: repetition))
    }
    return BenchRow(
      test: test, cache: cache, tokenKind: text.kind,
      repeatsText: text.repeats(
        passages: repetitions + (cache == .warm ? 1 : 0), count: test.tokens),
      samples: samples, peakBytes: ProcessMemory.current().peakBytes)
  }
}

extension Store {
  /// Asks the system to forget the pages of all weight files.
  ///
  /// Only pages that are clean and mapped by nobody go, which is all of them once a pack is done.
  public func dropPageCache() throws(Failure) {
    for name in [Manifest.residentFileName] + manifest.recordFiles.map(\.file) {
      try File(filePath(name), .read).dropCache()
    }
  }
}
