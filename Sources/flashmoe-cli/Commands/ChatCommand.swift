import ArgumentParser
import FlashMoE
import Glibc
import Support

struct ChatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Talk to a model over several turns.",
    discussion: """
      Turns are written in ChatML. Keys and values of earlier turns stay in memory, so a turn \
      costs only its own tokens. Ctrl-C stops an answer, Ctrl-D leaves. From a pipe, every line \
      is a turn.

      In the chat: /help, /reset (forget everything), /stats, /exit.
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("What the model is told before the first turn.", valueName: "text"))
  var system: String?

  @Option(
    name: [.customShort("n"), .customLong("tokens")], parsing: .unconditional,
    help: ArgumentHelp("Tokens of an answer at most; -1 is up to the context.", valueName: "n"))
  var tokenCount = 512

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Text that ends an answer; may be given often.", valueName: "text"))
  var stop: [String] = []

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Speculation") var drafts: SpeculationArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard tokenCount >= -1 else { throw ValidationError("-n must be -1 or more") }
  }

  mutating func run() async throws {
    let engine = try Engine(
      store: try model.open(), options: self.engine.options,
      logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    var session = try ChatSession(
      engine: engine, system: system, isJSON: common.json,
      options: GenerationOptions(
        maximumTokens: tokenCount < 0 ? nil : tokenCount, sampling: sampling.options,
        stopStrings: [ChatFormat.turnEnd] + stop,
        speculation: drafts.speculation ?? .auto, draftLimit: drafts.draftLimit))
    try await session.run()
  }
}
