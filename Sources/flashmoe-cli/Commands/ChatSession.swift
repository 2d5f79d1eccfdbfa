import ArgumentParser
import FlashMoE
import Glibc
import Support

/// A conversation: reads turns, keeps the tokens of everything said, prints answers.
///
/// What is fed to the engine, and what of it is kept, is the conversation's to say.
struct ChatSession {
  private let engine: Engine
  private let isJSON: Bool
  private var options: GenerationOptions
  private let isInteractive = isatty(STDIN_FILENO) == 1 && Output.stderrIsTerminal
  private var conversation: Conversation
  private var lastSummary: GenerationSummary?
  private var turns: [JSONValue] = []

  private enum Command {
    case turn(String), help, reset, stats, exit
    case unknown(String)
  }

  /// - Parameters:
  ///   - chat: nil takes ChatML, since the model has no template.
  ///   - arguments: variables of the template.
  init(
    engine: Engine, chat: ModelChat?, system: String?, arguments: JSONObject, isJSON: Bool,
    options: GenerationOptions
  ) throws(Failure) {
    guard let tokenizer = engine.tokenizer else {
      throw Failure(
        .usage, engine.store.path, "it has no tokenizer, so it cannot chat",
        remedy: "Use 'flashmoe run --ids'")
    }
    self.engine = engine
    self.isJSON = isJSON
    self.options = options
    let format = if let chat { chat } else { try ModelChat.chatML() }
    if chat == nil {
      Diagnostics.warn("this model has no chat template: turns are written in ChatML")
    }
    let end = format.turnEnd(tokenizer, arguments: arguments)
    self.options.stopTokens =
      engine.endTokens + end.tokens.filter { !engine.endTokens.contains($0) }
    self.options.stopStrings += end.strings
    conversation = Conversation(
      format, tokenizer: tokenizer, system: system, arguments: arguments)
  }

  mutating func run() async throws {
    if isInteractive {
      Output.message(Style.dimmed("/help lists commands, Ctrl-C stops an answer, Ctrl-D leaves"))
    }
    while let line = try readTurn() {
      switch Self.command(line) {
      case .turn(let text):
        if !text.isEmpty { try await answer(text) }
      case .help: tell(Self.help)
      case .reset:
        conversation.reset()
        try engine.reset()
        tell("the conversation starts anew")
      case .stats: tell(statistics)
      case .exit:
        finish()
        return
      case .unknown(let name): tell("no command \(name); /help lists them")
      }
    }
    if isInteractive { Output.message("") }
    finish()
  }

  private static let help = """
    /help   this list
    /reset  forget the conversation
    /stats  speed, hits and memory of the last answer
    /exit   leave (Ctrl-D does too); Ctrl-C stops an answer
    """

  private static func command(_ line: String) -> Command {
    let text = line.trimmed
    guard text.hasPrefix("/") else { return .turn(text) }
    switch text {
    case "/help", "/?": return .help
    case "/reset", "/clear": return .reset
    case "/stats": return .stats
    case "/exit", "/quit", "/bye": return .exit
    default:
      // A path or a formula is something to say; a single word is a mistyped command.
      return text.dropFirst().allSatisfy(\.isLetter) ? .unknown(text) : .turn(text)
    }
  }

  private func tell(_ text: String) { Output.message(text) }

  private var statistics: String {
    guard let lastSummary else { return "no answer yet" }
    return GenerationReport(lastSummary, engine: engine).text
      + "\n"
      + Style.dimmed("context \(conversation.tokenCount) of \(engine.plan.contextLength) tokens")
  }

  private func finish() {
    if isJSON {
      Output.print(["model": .string(engine.store.manifest.name), "turns": .array(turns)])
    }
  }

  // MARK: Turns

  private func readTurn() throws(Failure) -> String? {
    if isInteractive {
      // At the prompt there is nothing to stop: one Ctrl-C clears the line, a second one leaves.
      Interruption.handle {
        Output.write("\nCtrl-D leaves, and so does another Ctrl-C\n> ", to: STDERR_FILENO)
      }
      Output.write("> ", to: STDERR_FILENO)
    }
    return readLine(strippingNewline: true)
  }

  private mutating func answer(_ text: String) async throws {
    let prompt = try conversation.prompt(asking: text)
    let limit = engine.plan.contextLength
    guard prompt.tokens.count < limit else {
      contextIsFull(needed: prompt.tokens.count)
      if isJSON {
        turns.append(.object(["user": .string(text), "error": .string("context is full")]))
      }
      return
    }
    let generation = engine.generate(.tokens(prompt.tokens), options: options)
    Interruption.handle { generation.cancel() }
    var reply = ""
    for try await token in generation {
      reply += token.text
      if !isJSON { Output.write(token.text) }
    }
    guard let summary = generation.summary else { return }
    if !isJSON { Output.write("\n") }
    lastSummary = summary
    let parts = try conversation.add(
      question: text, prompt: prompt, answer: summary.tokens, text: reply)
    if isJSON { record(text, reply, parts, summary) }
    if summary.finishReason == .context { contextIsFull(needed: conversation.tokenCount) }
    if Interruption.happened, !isInteractive {
      finish()
      throw ExitCode(ErrorReport.interruptedCode)
    }
  }

  private func contextIsFull(needed: Int) {
    Diagnostics.warn(
      "the context is full: \(needed) tokens where \(engine.plan.contextLength) fit. "
        + "/reset starts anew; a larger --ctx holds more")
  }

  private mutating func record(
    _ text: String, _ reply: String, _ parts: AnswerParts, _ summary: GenerationSummary
  ) {
    turns.append(
      .object([
        "user": .string(text), "text": .string(reply), "reasoning": .optional(parts.reasoning),
        "prompt_ids": .ids(summary.promptTokens), "ids": .ids(summary.tokens),
        "finish_reason": .string(summary.finishReason.rawValue),
        "stats": .object(GenerationReport(summary, engine: engine).json),
      ]))
  }
}

extension String {
  var trimmed: String {
    var text = self[...]
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }
}
