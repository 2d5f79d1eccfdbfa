import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct TraceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "trace",
    abstract: "Record the routing of a text, to replay it with 'simulate'.",
    discussion: """
      Texts are fed token by token, each from an empty context, and again from an empty one when \
      the context is full. A trace holds the chosen experts, the router's probabilities and what \
      the layer before predicted; docs/caching.md describes the file.

      Example: flashmoe trace model.fmoe -f book.txt -n 4000 -o book.trace
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp("Text to feed; may stand several times; '-' is stdin.", valueName: "file"),
    completion: .file())
  var files: [String] = []

  @Option(
    help: ArgumentHelp("Token ids instead of a text: 1,2,3.", valueName: "ids"),
    transform: TokenIDs.parse)
  var ids: [Int32]?

  @Option(
    name: [.customShort("n"), .customLong("tokens")],
    help: ArgumentHelp("Tokens of each text at most. Default: all.", valueName: "n"))
  var tokenLimit: Int?

  @Option(
    name: .customLong("prompt"),
    help: ArgumentHelp(
      "Tokens at the start of each context that count as a prompt: replayed as one chunk.",
      valueName: "n"))
  var promptLength = 0

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("Where to write.", valueName: "file"), completion: .file())
  var output: String

  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard files.isEmpty != (ids == nil) else {
      throw ValidationError("give a text with -f, or tokens with --ids")
    }
    try NumberArgument.check(tokenLimit, "-n", 1...Int.max)
    try NumberArgument.check(promptLength, "--prompt", 0...(1 << 24))
  }

  mutating func run() throws {
    let given = try files.map { path throws(Failure) in
      (name: FileSystem.name(of: path), text: try TextInput.read(path))
    }
    let store = try model.open()
    let engine = try Engine(
      store: store, options: engine.options, logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    var texts: [(name: String, tokens: [Int32])] = ids.map { [("ids", $0)] } ?? []
    for (name, text) in given {
      texts.append((name, try engine.encode(.text(text, parsesSpecialTokens: false))))
    }
    if let tokenLimit {
      texts = texts.map { (name: $0.name, tokens: Array($0.tokens.prefix(tokenLimit))) }
    }
    let line = ProgressLine("trace")
    Interruption.handle {}
    let start = Clock.nanoseconds()
    let trace = try engine.trace(texts, options: TraceOptions(promptLength: promptLength)) {
      done, total in
      line.show("\(done) of \(total) tokens")
      return !Interruption.happened
    }
    line.finish()
    try trace.write(to: output)
    report(trace, store, seconds: Clock.seconds(since: start))
  }

  private func report(_ trace: RoutingTrace, _ store: Store, seconds: Double) {
    let bytes = trace.serializedBytes
    guard common.json else {
      Output.print(
        "\(output): \(trace.tokenCount) tokens, \(trace.layers.count) layers of "
          + "\(trace.layers.map(\.expertCount).max() ?? 0) experts, \(ByteCount.format(bytes)), "
          + "\(ByteCount.significant(seconds)) s")
      AliasNote.print(store.manifest)
      return
    }
    var object: JSONObject = [
      "output": .string(output), "model": .string(trace.model),
      "fingerprint": .string(trace.fingerprint.description),
      "tokens": .integer(trace.tokenCount), "bytes": .integer(bytes),
      "texts": .array(
        trace.texts.map {
          .object(["name": .string($0.name), "tokens": .integer($0.tokenCount)])
        }),
      "seconds": .number(seconds),
    ]
    object.note(store.manifest.aliasNote)
    Output.print(object)
  }
}
