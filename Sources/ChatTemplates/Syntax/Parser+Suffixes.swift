extension Parser {
  /// Attributes, items and calls behind a value.
  mutating func postfixes() throws(Lexer.Complaint) -> [Suffix] {
    var suffixes: [Suffix] = []
    while true {
      let start = line
      switch current.kind {
      case .symbol(.dot):
        advance()
        switch current.kind {
        case .name(let name): suffixes.append(Suffix(kind: .attribute(Text(name)), line: start))
        case .integer(let index):
          suffixes.append(Suffix(kind: .item(.integer(index)), line: start))
        default: throw unexpected("a name or number behind '.'")
        }
        advance()
      case .symbol(.openBracket):
        advance()
        suffixes.append(Suffix(kind: try subscripts(), line: start))
        try expect(.closeBracket)
      case .symbol(.openParenthesis):
        suffixes.append(Suffix(kind: .call(try arguments()), line: start))
      default: return suffixes
      }
    }
  }

  private mutating func subscripts() throws(Lexer.Complaint) -> Suffix.Kind {
    var items: [Suffix.Kind] = []
    while !isSymbol(.closeBracket) {
      if !items.isEmpty { try expect(.comma) }
      if isSymbol(.closeBracket) { break }
      items.append(try oneSubscript())
    }
    guard let first = items.first else { throw unexpected("an index or slice") }
    if items.count == 1 { return first }
    var keys: [Expression] = []
    for item in items {
      guard case .item(let key) = item else { throw complain("several slices at once") }
      keys.append(key)
    }
    return .item(.tuple(keys))
  }

  private mutating func oneSubscript() throws(Lexer.Complaint) -> Suffix.Kind {
    var start: Expression?
    if !isSymbol(.colon) {
      let key = try expression()
      guard isSymbol(.colon) else { return .item(key) }
      start = key
    }
    try expect(.colon)
    let stop = try bound()
    let stride = skip(.colon) ? try bound() : nil
    return .slice(start: start, stop: stop, stride: stride)
  }

  private mutating func bound() throws(Lexer.Complaint) -> Expression? {
    switch current.kind {
    case .symbol(.colon), .symbol(.closeBracket), .symbol(.comma): nil
    default: try expression()
    }
  }

  mutating func arguments() throws(Lexer.Complaint) -> ArgumentList {
    var list = ArgumentList()
    try expect(.openParenthesis)
    var isFirst = true
    while !isSymbol(.closeParenthesis) {
      if !isFirst { try expect(.comma) }
      isFirst = false
      if isSymbol(.closeParenthesis) { break }
      if isSymbol(.multiply), list.unpackedList == nil, list.unpackedDictionary == nil {
        advance()
        list.unpackedList = try expression()
      } else if isSymbol(.power), list.unpackedDictionary == nil {
        advance()
        list.unpackedDictionary = try expression()
      } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
        guard list.unpackedDictionary == nil else { throw complain("an argument behind '**'") }
        guard !list.named.contains(where: { $0.name == Text(name) }) else {
          throw complain("the argument '\(name)' is given twice")
        }
        advance()
        advance()
        list.named.append((Text(name), try expression()))
      } else {
        guard list.named.isEmpty, list.unpackedList == nil, list.unpackedDictionary == nil else {
          throw complain("a positional argument behind named ones")
        }
        list.positional.append(try expression())
      }
    }
    try expect(.closeParenthesis)
    return list
  }

  /// Filters, tests, and calls of what they give.
  mutating func filtersAndTests() throws(Lexer.Complaint) -> [Suffix] {
    var suffixes: [Suffix] = []
    while true {
      let start = line
      switch current.kind {
      case .symbol(.pipe):
        advance()
        suffixes.append(try filter())
      case .name("is"):
        advance()
        suffixes.append(try test())
      case .symbol(.openParenthesis):
        suffixes.append(Suffix(kind: .call(try arguments()), line: start))
      default: return suffixes
      }
    }
  }

  /// A filter behind its `|`.
  mutating func filter() throws(Lexer.Complaint) -> Suffix {
    let start = line
    let name = try dottedName("the name of a filter")
    let arguments = isSymbol(.openParenthesis) ? try arguments() : ArgumentList()
    return Suffix(kind: .filter(name, arguments), line: start)
  }

  private mutating func dottedName(_ what: String) throws(Lexer.Complaint) -> String {
    var name = try name(what)
    while skip(.dot) { name += "." + (try self.name()) }
    return name
  }

  /// A test behind `is`; one argument may stand without parentheses.
  private mutating func test() throws(Lexer.Complaint) -> Suffix {
    let start = line
    let isNegated = skipName("not")
    let name = try dottedName("the name of a test")
    var list = ArgumentList()
    switch current.kind {
    case .symbol(.openParenthesis): list = try arguments()
    case .name("else"), .name("or"), .name("and"), .name("if"): break
    case .name("is"): throw complain("tests cannot be chained with 'is'")
    case .name, .string, .integer, .float, .symbol(.openBracket), .symbol(.openBrace):
      let value = try primary()
      let suffixes = try postfixes()
      list.positional = [suffixes.isEmpty ? value : .postfix(value, suffixes)]
    default: break
    }
    return Suffix(kind: .test(name, list, isNegated: isNegated), line: start)
  }
}
