import FlashMoE
import Support
import Tokenization

/// ChatML: `<|im_start|>role`, a line break, the text, `<|im_end|>` and a line break.
struct ChatFormat {
  static let turnStart = "<|im_start|>"
  static let turnEnd = "<|im_end|>"

  private let tokenizer: Tokenizer

  init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// Whether the vocabulary has the markers as tokens of their own.
  var isNative: Bool { tokenizer.id(of: Self.turnStart) != nil && endToken != nil }
  var endToken: Int32? { tokenizer.id(of: Self.turnEnd) }

  /// What stands before the first turn.
  func opening(system: String?) throws(Failure) -> [Int32] {
    let prefix = try tokenizer.encode("", addSpecialTokens: true)
    guard let system else { return prefix }
    return try prefix + turn("system", system)
  }

  /// A user's turn and the start of the answer.
  func question(_ text: String) throws(Failure) -> [Int32] {
    try turn("user", text) + marked(Self.turnStart + "assistant\n")
  }

  /// What follows an answer.  A marker that the vocabulary spells in several tokens is part of
  /// what was generated and is not written twice.
  func answerEnd(after answer: [Int32] = []) throws(Failure) -> [Int32] {
    if endToken == nil, try tokenizer.decode(answer).contains(Self.turnEnd) {
      return try marked("\n")
    }
    return try marked(Self.turnEnd + "\n")
  }

  /// Markers typed by a user stay text: a turn cannot end itself and speak for somebody else.
  private func turn(_ role: String, _ text: String) throws(Failure) -> [Int32] {
    try marked(Self.turnStart + role + "\n") + tokenizer.encode(text, parseSpecial: false)
      + answerEnd()
  }

  private func marked(_ text: String) throws(Failure) -> [Int32] {
    try tokenizer.encode(text, parseSpecial: true)
  }
}
