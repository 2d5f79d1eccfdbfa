import ChatTemplates
import Support
import Tokenization

/// What ends an answer.
public struct TurnEnd: Sendable, Equatable {
  public var tokens: [Int32] = []
  public var strings: [String] = []

  public init(tokens: [Int32] = [], strings: [String] = []) {
    self.tokens = tokens
    self.strings = strings
  }
}

extension ModelChat {
  /// ChatML, for models without a template.
  public static func chatML() throws(Failure) -> ModelChat {
    ModelChat(
      template: try ChatTemplate(
        """
        {%- for message in messages -%}
        {{ '<|im_start|>' ~ message.role ~ '\n' ~ message.content ~ '<|im_end|>\n' }}
        {%- endfor -%}
        {%- if add_generation_prompt -%}
        {{ '<|im_start|>assistant\n' }}
        {%- endif -%}
        """, name: "ChatML"))
  }

  /// What the template writes behind an answer, and the model's own end of a text.
  ///
  /// A special token there ends an answer as a token; a marker that the vocabulary spells out ends
  /// it as text. A template that writes nothing there leaves it to the model's end tokens.
  public func turnEnd(_ tokenizer: Tokenizer, arguments: JSONObject) -> TurnEnd {
    var end = TurnEnd()
    if let text = specialTokens["eos_token"]?.string, let id = tokenizer.id(of: text) {
      end.tokens.append(id)
    }
    guard let marker = marker(arguments),
      let first = try? tokenizer.encode(marker).first
    else { return end }
    if tokenizer.isSpecial(first) {
      if !end.tokens.contains(first) { end.tokens.append(first) }
    } else if marker.hasPrefix("<"), marker.hasSuffix(">"), !marker.contains(where: \.isWhitespace)
    {
      end.strings.append(marker)
    }
    return end
  }

  /// The text between an answer and the end of a conversation, without space around.
  private func marker(_ arguments: JSONObject) -> String? {
    let answer = "An answer, number 4711."
    var arguments = arguments
    arguments["add_generation_prompt"] = .bool(false)
    let messages = [("user", "A question."), ("assistant", answer)].map { (role, content) in
      JSONValue.object(["role": .string(role), "content": .string(content)])
    }
    guard let text = try? render(.array(messages), arguments: arguments) else { return nil }
    var rest: Substring?
    var at = text.startIndex
    while at < text.endIndex {
      if text[at...].hasPrefix(answer) {
        rest = text[text.index(at, offsetBy: answer.count)...]
      }
      at = text.index(after: at)
    }
    guard var marker = rest?.drop(while: \.isWhitespace) else { return nil }
    while let last = marker.last, last.isWhitespace { marker.removeLast() }
    return marker.isEmpty ? nil : String(marker)
  }
}
