import ArgumentParser
import FlashMoE
import Glibc
import Support

struct ChatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Talk to a model over several turns.",
    discussion: """
      Turns are written as the model's own chat template says. Keys and values of earlier turns \
      stay in memory as far as the template repeats them. Ctrl-C stops an answer, Ctrl-D leaves. \
      From a pipe, every line is a turn.

      In the chat: /help, /reset (forget everything), /stats, /exit.
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.long, .customLong("system-prompt"), .customLong("sys", withSingleDash: true)],
    parsing: .unconditional,
    help: ArgumentHelp("What the model is told before the first turn.", valueName: "text"))
  var system: String?

  @OptionGroup(title: "Chat template") var template: ChatTemplateArguments

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
    // Mistakes in a template come before the weights are loaded.
    let store = try model.open()
    let chat = try template.chat(of: store)
    let engine = try Engine(
      store: store, options: self.engine.options,
      logger: Diagnostics.logger(verbose: common.verbose))
    if !common.json { EngineReport.announce(engine, verbose: common.verbose) }
    var session = try ChatSession(
      engine: engine, chat: chat, system: system, arguments: template.arguments,
      isJSON: common.json,
      options: GenerationOptions(
        maximumTokens: tokenCount < 0 ? nil : tokenCount, sampling: sampling.options,
        stopStrings: stop,
        speculation: drafts.speculation ?? .auto, draftLimit: drafts.draftLimit))
    try await session.run()
  }
}
