import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct BenchCommand: ParsableCommand {
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case md, json, csv
  }

  enum Caches: String, CaseIterable, ExpressibleByArgument {
    case cold, warm, both

    var caches: [BenchCache] {
      switch self {
      case .cold: [.cold]
      case .warm: [.warm]
      case .both: [.cold, .warm]
      }
    }
  }

  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure tokens per second: prompt and decode, cold and warm.",
    discussion: """
      Rows are llama-bench's: pp512 puts 512 tokens through at once, tg128 one after the other. \
      Decode follows a fixed text (-f, or a sample that is built in), not the model's own output, \
      which falls into loops. A store without a tokenizer gets random tokens, and the row says so.

      cold: the expert cache and the page cache are emptied before every repetition; warm: the \
      cache holds what the run before left. docs/benchmarking.md explains every column.

      Examples:
        flashmoe bench model.fmoe --ram 6GB
        flashmoe bench model.fmoe -p 128,512 -n 64 -r 5 --cache cold -o csv
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.customShort("p"), .customLong("n-prompt")],
    help: ArgumentHelp("Prompt lengths to test: 512 or 128,512; 0 for none.", valueName: "n,…"))
  var prompt = "512"

  @Option(
    name: [.customShort("n"), .customLong("n-gen")],
    help: ArgumentHelp("Decode lengths to test; 0 for none.", valueName: "n,…"))
  var generate = "128"

  @Option(
    name: .shortAndLong, help: ArgumentHelp("Measured repetitions of each row.", valueName: "n"))
  var repetitions = 3

  @Option(
    name: .customLong("cache"),
    help: ArgumentHelp("What the cache holds at the start.", valueName: "state"))
  var cache = Caches.both

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp("Text to feed; '-' is stdin.", valueName: "file"), completion: .file())
  var file: String?

  @Flag(help: "Feed random tokens, whatever the store can read.")
  var random = false

  @Option(help: ArgumentHelp("Seed of random tokens.", valueName: "n"))
  var seed: UInt64 = 0

  @Flag(help: "Add a table of where the time goes.")
  var phases = false

  @Flag(name: .customLong("no-probe"), help: "Do not measure the disk.")
  var noProbe = false

  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Speculation") var drafts: SpeculationArguments

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("How to print: a Markdown table, JSON or CSV.", valueName: "format"))
  var format: Format?

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    _ = try Self.lengths(prompt, "-p")
    _ = try Self.lengths(generate, "-n")
    try NumberArgument.check(repetitions, "-r", 1...10_000)
    if random, file != nil { throw ValidationError("--random and -f exclude each other") }
    if common.json, let format, format != .json {
      throw ValidationError("--json and -o \(format.rawValue) exclude each other")
    }
  }

  /// A comma-separated list of token counts.
  private static func lengths(_ text: String, _ option: String) throws -> [Int] {
    try text.split(separator: ",", omittingEmptySubsequences: false).map { word in
      guard let value = Int(word), (0...(1 << 24)).contains(value) else {
        throw ValidationError("\(option) takes numbers of tokens like 512 or 128,512")
      }
      return value
    }
  }

  mutating func run() throws {
    // What can be wrong without a model is found before one is loaded.
    let given = try file.map { path throws(Failure) in try TextInput.read(path) }
    let store = try model.open()
    let bench = try BenchOptions(
      promptLengths: try Self.lengths(prompt, "-p"),
      generationLengths: try Self.lengths(generate, "-n"), repetitions: repetitions,
      caches: cache.caches, speculation: drafts.speculation ?? .off, draftLimit: drafts.draftLimit
    ).validated()
    var options = engine.options
    // As llama-bench does: no longer than the longest test, unless asked for.
    if options.contextLength == nil { options.contextLength = max(bench.contextLength, 1) }
    // Before the engine: afterwards the budget has no room for the probe's buffers.
    let shape = DiskProbe.shape(
      freeBytes: DiskProbe.freeBytes(budgetBytes: options.budgetBytes))
    let disk =
      noProbe
      ? nil
      : try DiskProbe.measure(path: store.path, blockBytes: shape.blockBytes, depth: shape.depth)
    let engine = try Engine(
      store: store, options: options, logger: Diagnostics.logger(verbose: common.verbose))
    let format = common.json ? Format.json : self.format ?? .md
    if format == .md { EngineReport.announce(engine, verbose: common.verbose) }
    let benchmark = try Benchmark(
      engine: engine, options: bench, text: try text(for: engine, given: given), disk: disk)
    Interruption.handle {}
    let line = ProgressLine("bench")
    let report = try benchmark.run(isCancelled: { Interruption.happened }) { progress in
      let what =
        progress.repetition == 0
        ? "warming" : "\(progress.repetition) of \(progress.repetitions)"
      line.show("\(progress.test.name) \(progress.cache.rawValue), \(what)")
    }
    line.finish()
    switch format {
    case .md: Output.print(report.markdown(phases: phases))
    case .json: Output.print(report.json)
    case .csv: Output.print(report.csv)
    }
  }

  private func text(for engine: Engine, given: String?) throws(Failure) -> BenchText {
    if let file, let given {
      let tokens = try engine.encode(.text(given, parsesSpecialTokens: false))
      return try BenchText(tokens: tokens, name: FileSystem.name(of: file))
    }
    guard !random, engine.tokenizer != nil else {
      return BenchText(randomBelow: engine.configuration.vocabularySize, seed: seed)
    }
    let tokens = try engine.encode(.text(BenchText.sample, parsesSpecialTokens: false))
    return try BenchText(tokens: tokens, name: "built-in sample")
  }
}
