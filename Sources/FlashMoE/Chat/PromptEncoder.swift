import ChatTemplates
import Support
import Tokenization

/// Conversations as token ids, by the model's template.
///
/// Special tokens that people write in their messages stay ordinary text: nobody can end a turn
/// and speak for somebody else. The template's own become their ids.
public struct PromptEncoder: Sendable {
  private let chat: ModelChat
  private let tokenizer: Tokenizer

  public init(_ chat: ModelChat, tokenizer: Tokenizer) {
    self.chat = chat
    self.tokenizer = tokenizer
  }

  /// What the engine has seen: its tokens, and the text they stand for.
  public struct Fed: Sendable {
    public var text: String
    public var tokens: [Int32]
  }

  /// The prompt of a conversation.
  ///
  /// - Parameter fed: where the rendered text goes on from this one, its tokens are kept as they
  ///   are; encoding generated text again can give other ids.
  public func encode(
    _ messages: [JSONValue], arguments: JSONObject, continuing fed: Fed? = nil
  ) throws(Failure) -> Fed {
    let template = chat.template(for: arguments)
    var guarded = SpecialTokenGuard(tokenizer, template: template.source)
    let marked = guarded.mark(messages)
    let rendered = try chat.render(.array(marked), arguments: arguments)
    let (text, plainOffsets) = guarded.unmark(rendered)
    if let fed, !fed.text.isEmpty, Self.hasPrefix(text, fed.text) {
      let start = fed.text.utf8.count
      let rest = String(text.utf8.dropFirst(start)) ?? ""
      if tokenizer.canContinue(with: rest) {
        let offsets = plainOffsets.filter { $0 > start }.map { $0 - start }
        return Fed(
          text: text, tokens: fed.tokens + (try tokenizer.encode(rest, plainOffsets: offsets)))
      }
    }
    return Fed(text: text, tokens: try tokenizer.encode(text, plainOffsets: plainOffsets))
  }

  /// Compares bytes: Swift's own would take `e` for a prefix of `é` in some spellings, or not.
  private static func hasPrefix(_ text: String, _ prefix: String) -> Bool {
    text.utf8.count >= prefix.utf8.count && text.utf8.starts(with: prefix.utf8)
  }
}

/// Marks special tokens that stand in messages, so that they can be told from the template's own
/// after rendering: a character that nobody uses goes inside of each.
private struct SpecialTokenGuard {
  private let tokenizer: Tokenizer
  private let templateSource: String
  private var mark: Unicode.Scalar?

  init(_ tokenizer: Tokenizer, template: String) {
    self.tokenizer = tokenizer
    templateSource = template
  }

  /// Messages with marks; those of the assistant are the model's own words.
  mutating func mark(_ messages: [JSONValue]) -> [JSONValue] {
    let theirs = messages.map { $0["role"]?.string != "assistant" }
    guard zip(messages, theirs).contains(where: { $1 && holdsSpecial($0, depth: 0) }) else {
      return messages
    }
    mark = unusedScalar(messages)
    guard let mark else { return messages }
    return zip(messages, theirs).map { $1 ? marked($0, mark, depth: 0) : $0 }
  }

  private func holdsSpecial(_ value: JSONValue, depth: Int) -> Bool {
    guard depth < 64 else { return false }
    switch value {
    case .string(let text): return !tokenizer.specialTokenRanges(in: text).isEmpty
    case .array(let values): return values.contains { holdsSpecial($0, depth: depth + 1) }
    case .object(let object):
      return object.members.contains { holdsSpecial($0.value, depth: depth + 1) }
    default: return false
    }
  }

  /// A private-use character that is in no message and not in the template.
  private func unusedScalar(_ messages: [JSONValue]) -> Unicode.Scalar? {
    let used = Set((JSONValue.array(messages).serialized() + templateSource).unicodeScalars)
    return (0xF0000...0xF00FF).lazy.compactMap { Unicode.Scalar(UInt32($0)) }
      .first { !used.contains($0) }
  }

  private func marked(_ value: JSONValue, _ mark: Unicode.Scalar, depth: Int) -> JSONValue {
    guard depth < 64 else { return value }
    switch value {
    case .string(let text): return .string(marked(text, mark))
    case .array(let values): return .array(values.map { marked($0, mark, depth: depth + 1) })
    case .object(let object):
      var result = JSONObject()
      for (key, value) in object.members { result[key] = marked(value, mark, depth: depth + 1) }
      return .object(result)
    default: return value
    }
  }

  private func marked(_ text: String, _ mark: Unicode.Scalar) -> String {
    let ranges = tokenizer.specialTokenRanges(in: text)
    guard !ranges.isEmpty else { return text }
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var done = 0
    for range in ranges {
      // Behind the token's first character.
      var inside = range.lowerBound + 1
      while inside < range.upperBound, bytes[inside] & 0xC0 == 0x80 { inside += 1 }
      result += bytes[done..<inside] + Array(String(mark).utf8)
      done = inside
    }
    return String(decoding: result + bytes[done...], as: UTF8.self)
  }

  /// The text without marks, and where they were.
  func unmark(_ text: String) -> (text: String, offsets: [Int]) {
    guard let mark, text.unicodeScalars.contains(mark) else { return (text, []) }
    var result = String.UnicodeScalarView()
    var offsets: [Int] = []
    var offset = 0
    for scalar in text.unicodeScalars {
      if scalar == mark {
        offsets.append(offset)
      } else {
        result.append(scalar)
        offset += UTF8.width(scalar)
      }
    }
    return (String(result), offsets)
  }
}
