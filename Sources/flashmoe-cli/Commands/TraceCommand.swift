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

  @OptionGroup(title: "Text") var fed: FedTexts

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
    try NumberArgument.check(promptLength, "--prompt", 0...(1 << 24))
  }

  mutating func run() throws {
    let given = try fed.read()
    let store = try model.open()
    let engine = try Engine(
      store: store, options: engine.options, logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    let texts = try fed.tokens(of: given, engine: engine)
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
