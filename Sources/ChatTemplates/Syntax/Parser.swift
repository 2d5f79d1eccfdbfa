/// Makes the tree of a template from its tokens, by Jinja's grammar.
struct Parser {
  private let tokens: [Token]
  private var at = 0
  private var depth = 0
  /// Loops around this place, inside of the innermost macro.
  var loops = 0
  /// Tags that are open, for messages.
  var openTags: [(name: String, line: Int)] = []
  /// Occurrences of the names that a macro takes only when it speaks of them.
  private(set) var mentions: [String] = []
  var blockNames: Set<String> = []

  static let maximumDepth = 100

  init(_ tokens: [Token]) { self.tokens = tokens }

  /// The statements of the whole template.
  mutating func template() throws(Lexer.Complaint) -> [Statement] {
    try statements(until: [])
  }

  // MARK: Tokens

  var current: Token { tokens[at] }
  var next: Token { tokens[min(at + 1, tokens.count - 1)] }
  var line: Int { current.line }

  mutating func advance() {
    if at < tokens.count - 1 { at += 1 }
  }

  func complain(_ message: String, line: Int? = nil) -> Lexer.Complaint {
    Lexer.Complaint(problem: Problem(.syntax, message), line: line ?? self.line)
  }

  func unexpected(_ expected: String) -> Lexer.Complaint {
    complain("unexpected '\(current.description)', expected \(expected)")
  }

  func isSymbol(_ symbol: Token.Symbol) -> Bool { current.kind == .symbol(symbol) }
  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func skip(_ symbol: Token.Symbol) -> Bool {
    guard isSymbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func expect(_ symbol: Token.Symbol) throws(Lexer.Complaint) {
    guard skip(symbol) else { throw unexpected("'\(symbol.rawValue)'") }
  }

  mutating func expectWord(_ word: String) throws(Lexer.Complaint) {
    guard skipName(word) else { throw unexpected("'\(word)'") }
  }

  mutating func name(_ what: String = "a name") throws(Lexer.Complaint) -> String {
    guard case .name(let name) = current.kind else { throw unexpected(what) }
    advance()
    return name
  }

  mutating func mention(_ name: String) {
    switch name {
    case "varargs", "kwargs", "caller": mentions.append(name)
    default: break
    }
  }

  /// Counts levels of the source, so that no template can exhaust the stack.
  mutating func nested<Result>(
    _ body: (inout Parser) throws(Lexer.Complaint) -> Result
  ) throws(Lexer.Complaint) -> Result {
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw complain("nested more than \(Self.maximumDepth) levels deep")
    }
    defer { depth -= 1 }
    return try body(&self)
  }
}
