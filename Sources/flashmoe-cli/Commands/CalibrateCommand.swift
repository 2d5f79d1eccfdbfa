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

      Of each text the first 16384 tokens are taken, or -n of them.

      Example: flashmoe calibrate model.fmoe --text book.txt --text letters.txt -n 8192
      """)

  /// Of each text, where the user gives no number.
  private static let tokenLimit = 16384

  @OptionGroup var model: StoreArgument

  @OptionGroup(title: "Text") var fed: FedTexts

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
    try NumberArgument.check(predictionTokens, "--prediction-tokens", 1...Int.max)
  }

  mutating func run() throws {
    let given = try fed.read()
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
    let texts = try fed.tokens(
      of: given, engine: engine, limit: Self.tokenLimit)
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
