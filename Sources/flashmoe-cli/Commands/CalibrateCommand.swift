import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Learn from texts which experts a store uses, so that it starts warm.",
    discussion: """
      Writes profile.json into the store: how often every expert was chosen, how rows spread over \
      experts in chunks, how often predictions came true. Runs with the store then begin with the \
      popular experts in the cache. No result depends on it; removing the file undoes it.

      Example: flashmoe calibrate model.fmoe --text book.txt --text letters.txt -n 8192
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.customLong("text"), .customShort("f")],
    help: ArgumentHelp(
      "Text to learn from; may stand several times; '-' is stdin.", valueName: "file"),
    completion: .file())
  var files: [String] = []

  @Option(
    help: ArgumentHelp("Token ids instead of a text: 1,2,3.", valueName: "ids"),
    transform: TokenIDs.parse)
  var ids: [Int32]?

  @Option(
    name: [.customShort("n"), .customLong("tokens")],
    help: ArgumentHelp("Tokens of each text at most.", valueName: "n"))
  var tokenLimit = 16384

  @Option(
    name: .customLong("prediction-tokens"),
    help: ArgumentHelp(
      "Tokens that go one by one, to see how often predictions come true.", valueName: "n"))
  var predictionTokens = 512

  @Option(
    help: ArgumentHelp(
      "Also write activation statistics here, for 'pack --importance'.",
      valueName: "file.safetensors"), completion: .file())
  var importance: String?

  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard files.isEmpty != (ids == nil) else {
      throw ValidationError("give a text with --text, or tokens with --ids")
    }
    try NumberArgument.check(tokenLimit, "-n", 1...Int.max)
    try NumberArgument.check(predictionTokens, "--prediction-tokens", 1...Int.max)
  }

  mutating func run() throws {
    let given = try files.map { path throws(Failure) in
      (name: FileSystem.name(of: path), text: try TextInput.read(path))
    }
    let store = try model.open()
    var options = engine.options
    // An old profile, wrong or not, is about to be replaced.
    options.warmFill = false
    var recorder: ImportanceRecorder?
    if importance != nil {
      let (_, configuration) = try ModelRegistry.read(store.manifest.config, subject: store.path)
      recorder = ImportanceRecorder(store, configuration)
      // What it holds is part of the budget.
      options.budgetBytes = options.budgetBytes.map {
        $0 - ImportanceRecorder.bytes(store, configuration)
      }
    }
    let engine = try Engine(
      store: store, options: options, logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    var texts: [(name: String, tokens: [Int32])] =
      ids.map { [("ids", Array($0.prefix(tokenLimit)))] } ?? []
    for (name, text) in given {
      let tokens = try engine.encode(.text(text, parsesSpecialTokens: false))
      texts.append((name, Array(tokens.prefix(tokenLimit))))
    }
    let line = ProgressLine("calibrate")
    Interruption.handle {}
    let profile = try engine.calibrate(
      texts, options: CalibrationOptions(predictionTokens: predictionTokens), importance: recorder
    ) { done, total in
      line.show("\(done) of \(total) tokens")
      return !Interruption.happened
    }
    line.finish()
    try profile.write(to: store)
    if let importance, let recorder { try recorder.write(to: importance) }
    if common.json {
      var object = profile.json
      object["output"] = .string(store.filePath(Profile.fileName))
      object.note(store.manifest.aliasNote)
      Output.print(object)
    } else {
      Output.print(ProfileReport(profile).text(path: store.filePath(Profile.fileName)))
      AliasNote.print(store.manifest)
    }
  }
}
