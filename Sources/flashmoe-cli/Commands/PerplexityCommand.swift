import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct PerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Measure how well stores predict a text, and how far from a reference.",
    discussion: """
      Perplexity is exp of the mean negative log-likelihood over windows that each start from an \
      empty context. With --reference, also the Kullback-Leibler divergence of every prediction \
      from the reference's, and how often both think the same token likeliest. --both-activations \
      gives each store a row with f32 and one with int8 activations, and says what int8 alone costs.

      All models are loaded at once and share the budget evenly.

      Examples:
        flashmoe perplexity model.fmoe -f book.txt
        flashmoe perplexity q4.fmoe q8.fmoe -f book.txt --reference f32.fmoe --both-activations
        flashmoe perplexity q4.fmoe -f book.txt --kv q8 --reference q4.fmoe --reference-kv f16 \
          --reference-activations int8
      """)

  @Argument(
    help: ArgumentHelp(
      "Stores to measure, a row each. Without any: the demo model.", valueName: "store"),
    completion: .directory)
  var stores: [String] = []

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp(
      "Text to predict, or a directory of .txt files; may be given more than once.",
      valueName: "file"),
    completion: .file())
  var files: [String] = []

  @Option(
    help: ArgumentHelp("Token ids to predict instead of text: 1,2,3.", valueName: "file"),
    completion: .file())
  var idsFile: String?

  @Option(help: ArgumentHelp("Tokens of a window.", valueName: "n"))
  var window = 512

  @Option(
    help: ArgumentHelp(
      "Tokens between the starts of windows. Default: the window, so that none overlap.",
      valueName: "n"))
  var stride: Int?

  @Option(help: ArgumentHelp("Take only the first n tokens of all texts.", valueName: "n"))
  var limit: Int?

  @Option(
    help: ArgumentHelp("Store to compare with, best unquantized.", valueName: "store"),
    completion: .directory)
  var reference: String?

  @Option(help: ArgumentHelp("Activations of the reference.", valueName: "type"))
  var referenceActivations = ActivationType.f32

  @Option(
    name: .customLong("reference-kv"),
    help: ArgumentHelp(
      "Numbers in the reference's key/value cache. Default: as --kv.", valueName: "type"))
  var referenceKeyValueType: KeyValueType?

  @Flag(help: "A row for f32 and a row for int8 activations of every quantized store.")
  var bothActivations = false

  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard files.isEmpty != (idsFile == nil) else {
      throw ValidationError("give the text with one of -f and --ids-file")
    }
    try NumberArgument.check(window, "--window", 2...Int.max)
    try NumberArgument.check(stride, "--stride", 1...window)
    try NumberArgument.check(limit, "--limit", 2...Int.max)
  }

  mutating func run() throws {
    let windows = try TextWindows(length: window, stride: stride)
    let planned = try PlannedModel.list(
      stores: stores.isEmpty ? [try DemoStore.path()] : stores, reference: reference,
      referenceActivations: referenceActivations, bothActivations: bothActivations,
      activations: engine.activations)
    // What can be wrong without a model is found before one is loaded.
    let prompts = try prompts()
    let models = try load(planned)
    let texts = try tokens(prompts, models[0].engine)
    let evaluation = try LikelihoodEvaluation(models, windows: windows)
    Interruption.handle {}
    let line = ProgressLine("perplexity")
    let results = try evaluation.run(texts, isCancelled: { Interruption.happened }) { progress in
      let left = progress.secondsLeft.map { ", \(ProgressLine.duration($0)) left" } ?? ""
      line.show(
        "\(progress.tokens) of \(progress.totalTokens) tokens, "
          + "\(ByteCount.significant(progress.tokensPerSecond)) tok/s\(left), "
          + "perplexity \(ByteCount.fixed(progress.perplexity, digits: 2)) so far")
    }
    line.finish()
    let report = LikelihoodReport(
      rows: zip(planned, zip(models, results)).map { planned, pair in
        LikelihoodReport.Row(
          engine: pair.0.engine, result: pair.1, isReference: planned.isReference)
      }, windows: windows, texts: idsFile.map { [$0] } ?? files)
    if common.json { Output.print(report.json) } else { Output.print(report.markdown) }
  }

  /// Loads every model in its even share of the budget.
  private func load(_ planned: [PlannedModel]) throws -> [LikelihoodEvaluation.Subject] {
    let logger = Diagnostics.logger(verbose: common.verbose)
    var options = engine.options
    if options.contextLength == nil { options.contextLength = window }
    let budget = options.budgetBytes ?? ProcessMemory.availableBytes() / 100 * 85
    var subjects: [LikelihoodEvaluation.Subject] = []
    for model in planned {
      let store = try Store(opening: model.path)
      let vocabulary = try ModelRegistry.read(
        store.manifest.config, subject: store.filePath(Manifest.fileName) + ", config"
      ).configuration.vocabularySize
      let working = LikelihoodEvaluation.workingBytes(
        windowLength: window, vocabularySize: vocabulary, modelCount: planned.count)
      let share = max((budget - working) / planned.count, 1)
      try check(store, options, share: share, working: working, modelCount: planned.count)
      options.budgetBytes = share
      options.activations = model.activations
      options.keyValueType =
        (model.isReference ? referenceKeyValueType : nil) ?? engine.options.keyValueType
      let engine = try Engine(store: store, options: options, logger: logger)
      if !common.json, planned.count == 1 || common.verbose {
        EngineReport.announce(engine, verbose: common.verbose)
      }
      subjects.append(.init(engine: engine, references: model.references))
    }
    if !common.json, planned.count > 1 {
      Output.message(
        Style.dimmed(
          "\(planned.count) models side by side, \(ByteCount.format(budget / planned.count)) each"))
    }
    return subjects
  }

  /// An even share that is too small is told in terms of the whole `--ram`.
  private func check(
    _ store: Store, _ options: EngineOptions, share: Int, working: Int, modelCount: Int
  ) throws(Failure) {
    var generous = options
    generous.budgetBytes = 1 << 50
    let minimum = try Engine.plan(store: store, options: generous).minimumBytes
    guard share < minimum else { return }
    let needed = minimum * modelCount + working
    throw Failure(
      .budget, store.path,
      "its share of the budget, \(share) bytes, is \(minimum - share) bytes too small",
      remedy: "Use --ram \(needed) (\(ByteCount.format(needed))) or more")
  }

  private func prompts() throws(Failure) -> [Prompt] {
    if let idsFile {
      return [.tokens(try TokenIDs.parse(try TextInput.read(idsFile), subject: idsFile))]
    }
    return try textFiles().map { path throws(Failure) in
      .text(try TextInput.read(path), parsesSpecialTokens: false)
    }
  }

  /// The texts' tokens, cut to `--limit` tokens in all.
  private func tokens(_ prompts: [Prompt], _ engine: Engine) throws(Failure) -> [[Int32]] {
    var texts = try prompts.map { prompt throws(Failure) in try engine.encode(prompt) }
    guard var left = limit else { return texts }
    for index in texts.indices {
      texts[index] = Array(texts[index].prefix(left))
      left -= texts[index].count
    }
    return texts.filter { !$0.isEmpty }
  }

  private func textFiles() throws(Failure) -> [String] {
    var paths: [String] = []
    for file in files {
      guard FileSystem.isDirectory(file) else {
        paths.append(file)
        continue
      }
      let names = try FileSystem.list(file).filter { $0.hasSuffix(".txt") }
      guard !names.isEmpty else {
        throw Failure(
          .notFound, file, "no .txt file in this directory", remedy: "Name files with -f")
      }
      paths += names.map { file + "/" + $0 }
    }
    return paths
  }
}

/// One row to be: a store, its activations, and the rows it is compared with.
private struct PlannedModel {
  var path: String
  /// nil for the store's default.
  var activations: ActivationType?
  var references: [Int] = []
  var isReference = false

  static func list(
    stores: [String], reference: String?, referenceActivations: ActivationType,
    bothActivations: Bool, activations: ActivationType?
  ) throws(Failure) -> [PlannedModel] {
    var models: [PlannedModel] = []
    if let reference {
      models.append(
        PlannedModel(path: reference, activations: referenceActivations, isReference: true))
    }
    for path in stores {
      let store = try Store(opening: path)
      guard bothActivations, store.usesInt8Activations else {
        models.append(
          PlannedModel(
            path: path, activations: activations, references: reference == nil ? [] : [0]))
        continue
      }
      let exact = models.count
      models.append(
        PlannedModel(path: path, activations: .f32, references: reference == nil ? [] : [0]))
      models.append(
        PlannedModel(
          path: path, activations: .int8, references: (reference == nil ? [] : [0]) + [exact]))
    }
    return models
  }
}

extension Store {
  /// Whether any matrix is quantized: only those meet int8 activations.
  fileprivate var usesInt8Activations: Bool {
    let layouts =
      manifest.residents.map(\.layout)
      + manifest.layers.flatMap { $0.record.sections.map(\.layout) }
    return layouts.contains { layout in
      if case .matrix(let matrix) = layout { matrix.scheme.isQuantized } else { false }
    }
  }
}
