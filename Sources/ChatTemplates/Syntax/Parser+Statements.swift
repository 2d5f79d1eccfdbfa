extension Parser {
  /// Statements up to one of these tags, which stays current; without tags up to the end.
  mutating func statements(until ends: [String]) throws(Lexer.Complaint) -> [Statement] {
    var result: [Statement] = []
    while true {
      let token = current
      switch token.kind {
      case .end:
        if let open = openTags.last {
          throw complain(
            "'\(open.name)' of line \(open.line) is never closed", line: open.line)
        }
        return result
      case .data(let text):
        advance()
        result.append(Statement(kind: .text(text), line: token.line))
      case .variableBegin:
        advance()
        result.append(Statement(kind: .output(try tuple()), line: token.line))
        guard current.kind == .variableEnd else { throw unexpected("'}}'") }
        advance()
      case .blockBegin:
        advance()
        if case .name(let name) = current.kind, ends.contains(name) { return result }
        result += try nested { (parser) throws(Lexer.Complaint) in try parser.statement() }
        guard current.kind == .blockEnd else { throw unexpected("'%}'") }
        advance()
      default: throw unexpected("text or a tag")
      }
    }
  }

  /// The body of a tag up to one of `ends`, whose name is consumed and returned.
  mutating func body(_ tag: String, line: Int, until ends: [String]) throws(Lexer.Complaint)
    -> (body: [Statement], end: String)
  {
    _ = skip(.colon)
    guard current.kind == .blockEnd else { throw unexpected("'%}'") }
    advance()
    openTags.append((tag, line))
    let body = try statements(until: ends)
    openTags.removeLast()
    return (body, try name())
  }

  private mutating func statement() throws(Lexer.Complaint) -> [Statement] {
    let start = line
    let tag = try name("the name of a tag")
    func one(_ kind: Statement.Kind) -> [Statement] { [Statement(kind: kind, line: start)] }
    switch tag {
    case "if": return one(try conditional(start))
    case "for": return one(.loop(try loop(start)))
    case "break", "continue":
      guard loops > 0 else { throw complain("'\(tag)' outside of a loop", line: start) }
      return one(tag == "break" ? .breakLoop : .continueLoop)
    case "set": return one(try set(start))
    case "macro":
      let name = try target(isName: true)
      return one(.macro(try macro(name, tag, start, signature: try signature())))
    case "call": return one(try call(start))
    case "filter":
      let filters = [try filter()] + (try moreFilters())
      return one(.filter(filters, body: try body(tag, line: start, until: ["endfilter"]).body))
    case "with": return one(try with(start))
    case "print":
      var parts: [Statement] = []
      while current.kind != .blockEnd {
        if !parts.isEmpty { try expect(.comma) }
        parts.append(Statement(kind: .output(try expression()), line: start))
      }
      return parts
    case "block": return one(try block(start))
    case "generation":
      return one(.scope(try body(tag, line: start, until: ["endgeneration"]).body))
    case "autoescape":
      guard case .boolean(false) = try expression() else { throw refused("autoescape true", start) }
      return one(.scope(try body(tag, line: start, until: ["endautoescape"]).body))
    case "include", "import", "from", "extends": throw refused(tag, start)
    default:
      let hint = openTags.last.map { "; '\($0.name)' of line \($0.line) is open" } ?? ""
      throw complain("unknown tag '\(tag)'\(hint)", line: start)
    }
  }

  private func refused(_ tag: String, _ line: Int) -> Lexer.Complaint {
    Lexer.Complaint(
      problem: Problem(
        .unsupported, "the tag '\(tag)' is not supported",
        remedy: "A chat template is one file; write the text out"),
      line: line)
  }

  private mutating func conditional(_ start: Int) throws(Lexer.Complaint) -> Statement.Kind {
    var branches: [(condition: Expression, body: [Statement])] = []
    while true {
      let condition = try tuple(isConditional: false)
      let (body, end) = try body("if", line: start, until: ["elif", "else", "endif"])
      branches.append((condition, body))
      switch end {
      case "elif": continue
      case "else":
        let otherwise = try self.body("if", line: start, until: ["endif"]).body
        return .conditional(branches, otherwise: otherwise)
      default: return .conditional(branches, otherwise: [])
      }
    }
  }

  private mutating func loop(_ start: Int) throws(Lexer.Complaint) -> LoopStatement {
    let target = try target(end: "in")
    try expectWord("in")
    let sequence = try tuple(isConditional: false, end: "recursive")
    let filter = skipName("if") ? try expression() : nil
    let isRecursive = skipName("recursive")
    loops += 1
    let (body, end) = try body("for", line: start, until: ["endfor", "else"])
    loops -= 1
    let otherwise = end == "else" ? try self.body("for", line: start, until: ["endfor"]).body : []
    return LoopStatement(
      target: target, sequence: sequence, filter: filter, isRecursive: isRecursive, body: body,
      otherwise: otherwise)
  }

  private mutating func set(_ start: Int) throws(Lexer.Complaint) -> Statement.Kind {
    let target = try target(takesAttributes: true)
    if skip(.assign) { return .set(target, try tuple()) }
    let filters = try moreFilters()
    return .setBlock(
      target, filters: filters, body: try body("set", line: start, until: ["endset"]).body)
  }

  private mutating func moreFilters() throws(Lexer.Complaint) -> [Suffix] {
    var filters: [Suffix] = []
    while skip(.pipe) { filters.append(try filter()) }
    return filters
  }

  // MARK: Macros and scopes

  private mutating func signature() throws(Lexer.Complaint)
    -> [(name: String, fallback: Expression?)]
  {
    var parameters: [(name: String, fallback: Expression?)] = []
    try expect(.openParenthesis)
    while !isSymbol(.closeParenthesis) {
      if !parameters.isEmpty { try expect(.comma) }
      let name = try target(isName: true)
      if skip(.assign) {
        parameters.append((name, try expression()))
      } else if parameters.last?.fallback != nil {
        throw complain("the parameter '\(name)' needs a default, as the one before it has one")
      } else {
        parameters.append((name, nil))
      }
    }
    try expect(.closeParenthesis)
    return parameters
  }

  private mutating func macro(
    _ name: String, _ tag: String, _ start: Int,
    signature: [(name: String, fallback: Expression?)]
  ) throws(Lexer.Complaint) -> MacroStatement {
    let mark = mentions.count
    // A loop around a macro is not the macro's to leave.
    let outer = loops
    loops = 0
    defer { loops = outer }
    let body = try body(tag, line: start, until: ["end" + tag]).body
    return MacroStatement(
      name: name, parameters: signature, body: body, mentioned: Set(mentions[mark...]))
  }

  private mutating func call(_ start: Int) throws(Lexer.Complaint) -> Statement.Kind {
    let parameters = isSymbol(.openParenthesis) ? try signature() : []
    let call = try expression()
    guard call.isCall else { throw complain("'call' needs the call of a macro", line: start) }
    return .call(call, try macro("caller", "call", start, signature: parameters))
  }

  private mutating func with(_ start: Int) throws(Lexer.Complaint) -> Statement.Kind {
    var values: [(target: Target, value: Expression)] = []
    while current.kind != .blockEnd, !isSymbol(.colon) {
      if !values.isEmpty { try expect(.comma) }
      let target = try target()
      try expect(.assign)
      values.append((target, try expression()))
    }
    return .with(values, body: try body("with", line: start, until: ["endwith"]).body)
  }

  private mutating func block(_ start: Int) throws(Lexer.Complaint) -> Statement.Kind {
    let name = try name()
    guard blockNames.insert(name).inserted else {
      throw complain("the block '\(name)' is defined twice", line: start)
    }
    _ = skipName("scoped")
    let outer = loops
    loops = 0
    defer { loops = outer }
    let body = try body("block", line: start, until: ["endblock"]).body
    _ = skipName(name)
    return .block(BlockStatement(name: name, body: body))
  }

  // MARK: Targets

  private mutating func target(isName: Bool) throws(Lexer.Complaint) -> String {
    let start = line
    let name = try name()
    guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
      throw complain("cannot assign to '\(name)'", line: start)
    }
    return name
  }

  /// What is assigned to: a name, an attribute of a namespace, or several in a tuple.
  private mutating func target(takesAttributes: Bool = false, end: String? = nil)
    throws(Lexer.Complaint) -> Target
  {
    var parts: [Target] = []
    var isTuple = false
    while !isTupleEnd(end) {
      parts.append(try oneTarget(takesAttributes))
      guard skip(.comma) else { break }
      isTuple = true
    }
    guard let first = parts.first else { throw unexpected("a name to assign to") }
    return isTuple ? .tuple(parts) : first
  }

  private mutating func oneTarget(_ takesAttributes: Bool) throws(Lexer.Complaint) -> Target {
    if skip(.openParenthesis) {
      let inner = try nested { (parser) throws(Lexer.Complaint) in
        try parser.target(takesAttributes: takesAttributes)
      }
      try expect(.closeParenthesis)
      return inner
    }
    let name = try target(isName: true)
    guard takesAttributes, skip(.dot) else { return .name(name) }
    return .attribute(namespace: name, Text(try self.name()))
  }
}
