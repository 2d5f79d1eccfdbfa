import ArgumentParser
import Support
import WeightStore

struct SimulateCommand: ParsableCommand {
  enum Prediction: String, CaseIterable, ExpressibleByArgument {
    case on, off, both

    var values: [Bool] {
      switch self {
      case .on: [true]
      case .off: [false]
      case .both: [false, true]
      }
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "simulate",
    abstract: "Replay traces against cache sizes and policies: what would have been read.",
    discussion: """
      The engine's own cache is replayed, so that hit rates are those of a run. Each trace starts \
      from an empty cache; counts of several are added. 'gap' is the share of the way from LRU's \
      bytes to those of Belady's optimum, which knows the future; predicted reads count as read.

      Examples:
        flashmoe simulate book.trace --slots 10%,25%,50%
        flashmoe simulate book.trace --slots 10%-75% --policy all --plot rates.svg
      """)

  @Argument(
    help: ArgumentHelp("Traces of one model, made with 'flashmoe trace'.", valueName: "trace"),
    completion: .file())
  var traces: [String]

  @Option(
    help: ArgumentHelp(
      "Cache sizes: numbers of records, shares of all like 25%, or 10%-75% in steps of 5%.",
      valueName: "list"))
  var slots = "10%-75%"

  @Option(
    help: ArgumentHelp(
      "Policies, or all: lru, lfu, lfru, slru, stale, foresight, popularity, belady.",
      valueName: "name,…"))
  var policy = "lru,lfru,foresight"

  @Option(help: ArgumentHelp("Whether predicted experts are read.", valueName: "on|off|both"))
  var prediction = Prediction.off

  @Option(
    help: ArgumentHelp(
      "A trace, or the profile of a store, that 'popularity' counts; may stand several times.",
      valueName: "trace"),
    completion: .file())
  var popularity: [String] = []

  @Option(
    help: ArgumentHelp("Tokens of each trace that are not counted.", valueName: "n"))
  var warmup = 0

  @Option(
    help: ArgumentHelp(
      "Where to draw hit rates against cache sizes.", valueName: "file.svg|.html"),
    completion: .file(extensions: ["svg", "html"]))
  var plot: String?

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard !traces.isEmpty else { throw ValidationError("name at least one trace") }
    try NumberArgument.check(warmup, "--warmup", 0...(1 << 32))
    if let plot, !plot.hasSuffix(".svg"), !plot.hasSuffix(".html") {
      throw ValidationError("--plot takes a file that ends in .svg or .html")
    }
    _ = try SlotList(parsing: slots)
    _ = try SimulatedPolicy.list(parsing: policy)
  }

  mutating func run() throws {
    var read: [RoutingTrace] = []
    for path in traces {
      let trace = try RoutingTrace(reading: path)
      try Self.checkSameModel(trace, path, as: read.first, traces[0])
      read.append(trace)
    }
    guard let first = read.first else { return }
    let counted = read.map { $0.tokenCount - warmup }
    guard counted.allSatisfy({ $0 > 0 }) else {
      throw Failure(
        .usage, "--warmup", "\(warmup) tokens leave nothing of a trace to count",
        remedy: "Use fewer, or a longer trace")
    }
    let policies = try SimulatedPolicy.list(parsing: policy)
    let sizes = try SlotList(parsing: slots).sizes(
      records: first.recordCount, least: first.expertsPerToken)
    let line = ProgressLine("simulate")
    Interruption.handle {}
    let simulation = try Simulation(
      traces: read, sizes: sizes, policies: policies, predictions: prediction.values,
      popularity: try counts(for: policies, as: first), warmupTokens: warmup,
      isCancelled: { Interruption.happened },
      progress: { done, total in line.show("\(done) of \(total) replays") })
    line.finish()
    let report = SimulationReport(simulation, names: traces.map(FileSystem.name(of:)))
    if let plot {
      let drawing = RatePlot(simulation).svg
      let text = plot.hasSuffix(".html") ? RatePlot.page(drawing, title: report.title) : drawing
      try FileSystem.writeAtomically(Array(text.utf8), to: plot)
    }
    if common.json {
      Output.print(report.json)
    } else {
      Output.print(report.text)
      if let plot { Output.message("\(plot): hit rate against cache size") }
    }
  }

  private static func checkSameModel(
    _ trace: RoutingTrace, _ path: String, as first: RoutingTrace?, _ firstPath: String
  ) throws(Failure) {
    guard let first, trace.fingerprint != first.fingerprint || trace.layers != first.layers else {
      return
    }
    throw Failure(
      .mismatch, path, "a trace of other weights than \(firstPath)",
      remedy: "Simulate traces of one store at a time")
  }

  /// Popularity of every record for the policy of that name.
  private func counts(for policies: [SimulatedPolicy], as first: RoutingTrace) throws(Failure)
    -> [Double]?
  {
    guard policies.contains(.popularity) else { return nil }
    guard !popularity.isEmpty else {
      // 'all' without anything to count leaves it out.
      guard policy == "all" else {
        throw Failure(
          .usage, "--policy popularity", "nothing was counted",
          remedy: "Name traces of other texts with --popularity")
      }
      return nil
    }
    var counts = Array(repeating: 0.0, count: first.recordCount)
    for path in popularity {
      let trace = try RoutingTrace(reading: path)
      try Self.checkSameModel(trace, path, as: first, traces[0])
      for (record, count) in trace.popularity.enumerated() { counts[record] += Double(count) }
    }
    return counts
  }
}
