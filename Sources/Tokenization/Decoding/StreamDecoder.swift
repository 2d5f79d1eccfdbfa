import Support

/// Decodes ids as they are generated.
///
/// Every piece is final: no half characters, and the pieces with `finish()` make up exactly what
/// `Tokenizer.decode` gives for all ids. Text that later ids could still change (an open UTF-8
/// sequence, a run of byte tokens) waits for them.
public struct StreamDecoder {
  private let tokenizer: Tokenizer
  private let skipSpecialTokens: Bool
  private var state: DecodingState
  private var assembler = UTF8Assembler()

  public init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool = true) {
    self.tokenizer = tokenizer
    self.skipSpecialTokens = skipSpecialTokens
    state = DecodingState(tokenizer.decoder)
  }

  /// The text that became final with this id, often empty.
  ///
  /// - Throws: `Failure(.mismatch)` for an id without a token.
  public mutating func append(_ id: Int32) throws(Failure) -> String {
    guard let token = try tokenizer.bytesToDecode(id, skipSpecialTokens: skipSpecialTokens) else {
      return ""
    }
    return assembler.append(state.append(token))
  }

  /// What was still held back; U+FFFD for a character that never got complete.
  public mutating func finish() -> String {
    assembler.append(state.finish()) + assembler.finish()
  }
}
