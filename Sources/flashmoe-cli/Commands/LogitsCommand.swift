import ArgumentParser
import FlashMoE
import Support

struct LogitsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logits",
    abstract: "Write the logits after every token of a text, to compare runtimes.",
    discussion: """
      The safetensors file holds f32 'logits' [n, V] and, with --router, 'router.LAYER.indices' \
      (i32) and 'router.LAYER.weights' (f32) [n, k], experts by falling weight. It appears only \
      when it is complete.

      Example: flashmoe logits model.fmoe --ids 1,2,3 -o out.safetensors --router
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    help: ArgumentHelp("Token ids: 1,2,3.", valueName: "ids"), transform: TokenIDs.parse)
  var ids: [Int32]?

  @Option(
    help: ArgumentHelp("A file of token ids in the same form; '-' is stdin.", valueName: "file"),
    completion: .file())
  var idsFile: String?

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("Where to write.", valueName: "file.safetensors"),
    completion: .file(extensions: ["safetensors"]))
  var output: String

  @Flag(help: "Also write which experts every token chose.")
  var router = false

  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard (ids == nil) != (idsFile == nil) else {
      throw ValidationError("give the tokens with one of --ids and --ids-file")
    }
  }

  mutating func run() throws {
    let tokens: [Int32]
    if let ids {
      tokens = ids
    } else {
      tokens = try TokenIDs.parse(try TextInput.read(idsFile ?? "-"), subject: idsFile ?? "-")
    }
    let store = try model.open()
    var options = engine.options
    // The context has to hold exactly these tokens, unless more is asked for.
    if options.contextLength == nil { options.contextLength = tokens.count }
    let engine = try Engine(
      store: store, options: options, logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    let progress = ProgressLine("logits")
    Interruption.handle {}
    let summary = try engine.writeLogits(tokens, to: output, wantsRouting: router) { rows in
      progress.show("\(rows) of \(tokens.count) tokens")
      return !Interruption.happened
    }
    progress.finish()
    if common.json {
      var object: JSONObject = [
        "output": .string(output), "tokens": .integer(summary.tokenCount),
        "vocabulary": .integer(summary.vocabularySize),
        "router_layers": .array(summary.routedLayers.map { .integer($0) }),
        "seconds": .number(summary.stage.seconds),
        "hit_rate": summary.stage.streaming.lookups > 0
          ? .number(summary.stage.streaming.hitRate) : .null,
        "demand_bytes": .integer(summary.stage.streaming.demandBytes),
      ]
      object.note(store.manifest.aliasNote)
      Output.print(object)
    } else {
      Output.print(
        "\(output): logits of \(summary.tokenCount) tokens × \(summary.vocabularySize)"
          + (router ? ", routing of \(summary.routedLayers.count) layers" : "")
          + ", \(ByteCount.significant(summary.stage.seconds)) s")
      AliasNote.print(store.manifest)
    }
  }
}
