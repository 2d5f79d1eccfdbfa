import ChatTemplates
import Support
import Tokenization

/// A conversation with a model, turn by turn.
///
/// Every turn renders all messages anew, as the model's template wants them; templates may write
/// an old turn otherwise than the last one (most leave out old reasoning). What the engine has seen
/// stays as it is where the text goes on from there; elsewhere the engine runs from the first token
/// that differs.
public struct Conversation: Sendable {
  private let encoder: PromptEncoder
  private let tokenizer: Tokenizer
  private let opening: [JSONValue]
  private let arguments: JSONObject
  public private(set) var messages: [JSONValue]
  private var fed: PromptEncoder.Fed?

  /// - Parameters:
  ///   - system: what the model is told before the first turn.
  ///   - arguments: variables of the template, such as `enable_thinking`.
  public init(
    _ chat: ModelChat, tokenizer: Tokenizer, system: String? = nil, arguments: JSONObject = [:]
  ) {
    encoder = PromptEncoder(chat, tokenizer: tokenizer)
    self.tokenizer = tokenizer
    opening = system.map { [Self.message("system", $0)] } ?? []
    messages = opening
    var all: JSONObject = ["add_generation_prompt": .bool(true)]
    for (name, value) in arguments.members { all[name] = value }
    self.arguments = all
  }

  private static func message(_ role: String, _ content: String) -> JSONValue {
    .object(["role": .string(role), "content": .string(content)])
  }

  /// Tokens of everything said so far.
  public var tokenCount: Int { fed?.tokens.count ?? 0 }

  /// The prompt of a question; it becomes part of the conversation with its answer.
  public func prompt(asking text: String) throws(Failure) -> PromptEncoder.Fed {
    try encoder.encode(
      messages + [Self.message("user", text)], arguments: arguments, continuing: fed)
  }

  /// Adds a question and the tokens of its answer.
  ///
  /// - Returns: the answer as a template takes it, reasoning apart.
  @discardableResult
  public mutating func add(
    question: String, prompt: PromptEncoder.Fed, answer: [Int32], text: String
  ) throws(Failure) -> AnswerParts {
    let spelled = try tokenizer.decode(answer)
    // Special tokens that were generated belong to the text; a stop string does not.
    let parts = AnswerParts(Self.without(spelled, behind: text) ?? spelled)
    messages += [Self.message("user", question), parts.message]
    fed = PromptEncoder.Fed(text: prompt.text + spelled, tokens: prompt.tokens + answer)
    return parts
  }

  /// `text` where `spelled` goes on behind it, as it does with a stop string.
  private static func without(_ spelled: String, behind text: String) -> String? {
    spelled.utf8.starts(with: text.utf8) ? text : nil
  }

  /// Forgets all but the system's message.
  public mutating func reset() {
    messages = opening
    fed = nil
  }
}

/// An answer taken apart: what the model thought, and what it said.
public struct AnswerParts: Sendable, Equatable {
  public var reasoning: String?
  public var content: String

  /// Understands `<think>…</think>`, whose start may be part of the prompt, and the channels of
  /// gpt-oss.
  public init(_ text: String) {
    content = text
    if let channels = Self.channels(text) {
      (reasoning, content) = channels
    } else if let end = Self.range(of: "</think>", in: text) {
      var thought = text[..<end.lowerBound]
      if let start = Self.range(of: "<think>", in: String(thought)),
        thought[..<start.lowerBound].allSatisfy(\.isWhitespace)
      {
        thought = thought[start.upperBound...]
      }
      reasoning = Self.trimmed(thought)
      content = String(text[end.upperBound...].drop { $0.isNewline })
    }
  }

  /// The message as templates take it.
  public var message: JSONValue {
    var object: JSONObject = ["role": .string("assistant"), "content": .string(content)]
    if let reasoning {
      // Templates know it under one of these names.
      object["reasoning_content"] = .string(reasoning)
      object["thinking"] = .string(reasoning)
    }
    return .object(object)
  }

  private static func range(of part: String, in text: String) -> Range<String.Index>? {
    var at = text.startIndex
    while at < text.endIndex {
      if text[at...].hasPrefix(part) { return at..<text.index(at, offsetBy: part.count) }
      at = text.index(after: at)
    }
    return nil
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text.drop { $0.isNewline }
    while let last = text.last, last.isNewline { text.removeLast() }
    return String(text)
  }

  /// `<|channel|>NAME<|message|>TEXT<|end|>…`: `final` is what is said, the rest is thought.
  private static func channels(_ text: String) -> (String?, String)? {
    guard text.hasPrefix("<|channel|>") else { return nil }
    var thought: [String] = []
    var said = ""
    for piece in split(text, at: "<|channel|>").dropFirst() {
      let halves = split(piece, at: "<|message|>")
      guard halves.count > 1 else { continue }
      let body = split(halves[1], at: "<|end|>")[0]
      if halves[0].hasPrefix("final") { said += body } else { thought.append(body) }
    }
    return (thought.isEmpty ? nil : thought.joined(separator: "\n"), said)
  }

  private static func split(_ text: String, at part: String) -> [String] {
    var pieces: [String] = []
    var rest = text
    while let found = range(of: part, in: rest) {
      pieces.append(String(rest[..<found.lowerBound]))
      rest = String(rest[found.upperBound...])
    }
    return pieces + [rest]
  }
}
