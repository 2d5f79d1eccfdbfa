import ArgumentParser
import FlashMoE
import Support

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Continue a text.",
    discussion: """
      Text goes to stdout as it is generated, statistics to stderr. Ctrl-C stops after the token \
      in work and still prints them.

      Examples:
        flashmoe run -p "Once upon a time" --ram 40MB
        flashmoe run model.fmoe -f prompt.txt -n 200 --temp 0.8 --top-p 0.95 --seed 1
        echo "Once upon a time" | flashmoe run -f -
        flashmoe run model.fmoe --ids 1,2,3 -n 8 --json
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.customShort("p"), .customLong("prompt")], parsing: .unconditional,
    help: ArgumentHelp("The prompt, taken as it is; '-' reads stdin.", valueName: "text"))
  var prompt: String?

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp("Read the prompt from a UTF-8 file; '-' is stdin.", valueName: "file"),
    completion: .file())
  var file: String?

  @Option(
    help: ArgumentHelp("The prompt as token ids: 1,2,3.", valueName: "ids"),
    transform: TokenIDs.parse)
  var ids: [Int32]?

  @Option(
    name: [.customShort("n"), .customLong("tokens")], parsing: .unconditional,
    help: ArgumentHelp("Tokens to generate; -1 goes on until the context is full.", valueName: "n"))
  var tokenCount = 128

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Text that ends the generation; may be given often.", valueName: "text"))
  var stop: [String] = []

  @Flag(help: "Go on past the model's end tokens.")
  var ignoreEos = false

  @Flag(help: "Print the prompt before the text.")
  var echo = false

  @Option(
    help: ArgumentHelp(
      "Start from the context saved in this file, if it is there, and save it there in the end: a"
        + " prompt that begins like the last one is not computed again.", valueName: "file"),
    completion: .file())
  var promptCache: String?

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Speculation") var drafts: SpeculationArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    let given = [prompt != nil, file != nil, ids != nil].filter { $0 }.count
    guard given == 1 else {
      throw ValidationError(
        given == 0
          ? "what should it continue? Give -p TEXT, -f FILE or --ids 1,2,3"
          : "give only one of -p, -f and --ids")
    }
    guard tokenCount >= -1 else { throw ValidationError("-n must be -1 or more") }
  }

  mutating func run() async throws {
    let input = try readPrompt()
    let engine = try Engine(
      store: try model.open(), options: self.engine.options,
      logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }

    if let promptCache, FileSystem.exists(promptCache) {
      try engine.restoreState(from: promptCache)
    }

    let generation = engine.generate(
      input,
      options: GenerationOptions(
        maximumTokens: tokenCount < 0 ? nil : tokenCount, sampling: sampling.options,
        stopStrings: stop, ignoresEndTokens: ignoreEos,
        speculation: drafts.speculation ?? .auto, draftLimit: drafts.draftLimit))
    Interruption.handle { generation.cancel() }
    let text = try await stream(generation)
    guard let summary = generation.summary else { return }
    if let promptCache { try engine.saveState(to: promptCache) }

    let report = GenerationReport(summary, engine: engine)
    if common.json {
      Output.print([
        "model": .string(engine.store.manifest.name),
        "prompt_ids": .ids(summary.promptTokens), "ids": .ids(summary.tokens),
        "text": .string(text), "finish_reason": .string(summary.finishReason.rawValue),
        "stats": .object(report.json),
      ])
    } else {
      Output.message(report.text)
      if sampling.temperature > 0 {
        Output.message(Style.dimmed("seed        \(summary.seed) (--seed repeats this text)"))
      }
      if summary.finishReason == .context {
        Diagnostics.warn(
          "the context of \(engine.plan.contextLength) tokens is full; a larger --ctx goes on")
      }
    }
    if Interruption.happened { throw ExitCode(ErrorReport.interruptedCode) }
  }

  private func readPrompt() throws(Failure) -> Prompt {
    if let ids { return .tokens(ids) }
    if let prompt, prompt != "-" { return .text(prompt) }
    return .text(try TextInput.read(file ?? "-"))
  }

  /// Hands text out as it comes; returns all of it.
  private func stream(_ generation: Generation) async throws -> String {
    var text = ""
    if echo, !common.json, let prompt, prompt != "-" { Output.write(prompt) }
    do {
      for try await token in generation {
        text += token.text
        if !common.json, !token.text.isEmpty { Output.write(token.text) }
      }
    } catch {
      // What went wrong starts on its own line.
      if !common.json, !text.isEmpty { Output.write("\n") }
      throw error
    }
    if !common.json { Output.write("\n") }
    return text
  }
}
