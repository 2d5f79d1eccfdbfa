extension Parser {
  /// An expression; `isConditional: false` leaves `if` to the statement around.
  mutating func expression(isConditional: Bool = true) throws(Lexer.Complaint) -> Expression {
    try nested { (parser) throws(Lexer.Complaint) in
      var value = try parser.disjunction()
      while isConditional, parser.skipName("if") {
        let condition = try parser.disjunction()
        let otherwise = parser.skipName("else") ? try parser.expression() : nil
        value = .conditional(value: value, condition: condition, otherwise: otherwise)
      }
      return value
    }
  }

  private mutating func disjunction() throws(Lexer.Complaint) -> Expression {
    var terms = [try conjunction()]
    while skipName("or") { terms.append(try conjunction()) }
    return terms.count == 1 ? terms[0] : .or(terms)
  }

  private mutating func conjunction() throws(Lexer.Complaint) -> Expression {
    var terms = [try negation()]
    while skipName("and") { terms.append(try negation()) }
    return terms.count == 1 ? terms[0] : .and(terms)
  }

  private mutating func negation() throws(Lexer.Complaint) -> Expression {
    var isNegated = false
    var wasNegated = false
    while skipName("not") {
      isNegated.toggle()
      wasNegated = true
    }
    let value = try comparison()
    guard wasNegated else { return value }
    return isNegated ? .not(value) : .not(.not(value))
  }

  private mutating func relation() -> Comparison.Relation? {
    switch current.kind {
    case .symbol(.equal): return .equal
    case .symbol(.notEqual): return .notEqual
    case .symbol(.less): return .less
    case .symbol(.lessOrEqual): return .lessOrEqual
    case .symbol(.greater): return .greater
    case .symbol(.greaterOrEqual): return .greaterOrEqual
    case .name("in"): return .contained
    case .name("not") where next.kind == .name("in"):
      advance()
      return .notContained
    default: return nil
    }
  }

  private mutating func comparison() throws(Lexer.Complaint) -> Expression {
    let start = line
    let first = try sum()
    var rest: [Comparison] = []
    while let relation = relation() {
      advance()
      rest.append(Comparison(relation: relation, operand: try sum()))
    }
    return rest.isEmpty ? first : .compare(first, rest, line: start)
  }

  private mutating func chain(
    _ symbols: [(Token.Symbol, Operation.Operator)],
    _ operand: (inout Parser) throws(Lexer.Complaint) -> Expression
  ) throws(Lexer.Complaint) -> Expression {
    let first = try operand(&self)
    var rest: [Operation] = []
    while case .symbol(let symbol) = current.kind,
      let found = symbols.first(where: { $0.0 == symbol })
    {
      let start = line
      advance()
      rest.append(Operation(symbol: found.1, operand: try operand(&self), line: start))
    }
    return rest.isEmpty ? first : .arithmetic(first, rest)
  }

  private mutating func sum() throws(Lexer.Complaint) -> Expression {
    try chain([(.plus, .add), (.minus, .subtract)]) { (parser) throws(Lexer.Complaint) in
      try parser.concatenation()
    }
  }

  /// `~` binds closer than `+`.
  private mutating func concatenation() throws(Lexer.Complaint) -> Expression {
    var parts = [try product()]
    while skip(.concatenate) { parts.append(try product()) }
    return parts.count == 1 ? parts[0] : .concatenate(parts)
  }

  private mutating func product() throws(Lexer.Complaint) -> Expression {
    try chain([
      (.multiply, .multiply), (.divide, .divide), (.floorDivide, .floorDivide), (.modulo, .modulo),
    ]) { (parser) throws(Lexer.Complaint) in try parser.power() }
  }

  private mutating func power() throws(Lexer.Complaint) -> Expression {
    try chain([(.power, .power)]) { (parser) throws(Lexer.Complaint) in try parser.unary() }
  }

  /// A sign applies before postfixes and filters: `-1|abs` is `(-1)|abs`.
  private mutating func unary(takesFilters: Bool = true) throws(Lexer.Complaint) -> Expression {
    var value: Expression
    if isSymbol(.minus) || isSymbol(.plus) {
      let isNegative = isSymbol(.minus)
      advance()
      let operand = try nested { (parser) throws(Lexer.Complaint) in
        try parser.unary(takesFilters: false)
      }
      value = isNegative ? .negate(operand) : .positive(operand)
    } else {
      value = try primary()
    }
    var suffixes = try postfixes()
    if takesFilters { suffixes += try filtersAndTests() }
    return suffixes.isEmpty ? value : .postfix(value, suffixes)
  }

  /// A name, literal, or something in brackets.
  mutating func primary() throws(Lexer.Complaint) -> Expression {
    let token = current
    switch token.kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return .boolean(true)
      case "false", "False": return .boolean(false)
      case "none", "None": return .none
      default:
        mention(name)
        return .name(name)
      }
    case .string(var text):
      advance()
      while case .string(let more) = current.kind {
        text = text + more
        advance()
      }
      return .string(text)
    case .integer(let value):
      advance()
      return .integer(value)
    case .float(let value):
      advance()
      return .float(value)
    case .symbol(.openParenthesis):
      advance()
      let value = try tuple(inParentheses: true)
      try expect(.closeParenthesis)
      return value
    case .symbol(.openBracket):
      advance()
      var items: [Expression] = []
      while !isSymbol(.closeBracket) {
        if !items.isEmpty { try expect(.comma) }
        if isSymbol(.closeBracket) { break }
        items.append(try expression())
      }
      try expect(.closeBracket)
      return .list(items)
    case .symbol(.openBrace): return try dictionary()
    default: throw unexpected("an expression")
    }
  }

  private mutating func dictionary() throws(Lexer.Complaint) -> Expression {
    advance()
    var entries: [(key: Expression, value: Expression)] = []
    while !isSymbol(.closeBrace) {
      if !entries.isEmpty { try expect(.comma) }
      if isSymbol(.closeBrace) { break }
      let key = try expression()
      try expect(.colon)
      entries.append((key, try expression()))
    }
    try expect(.closeBrace)
    return .dictionary(entries)
  }

  /// One expression, or a tuple of those between commas.
  ///
  /// - Parameter end: a word that ends the tuple behind a comma.
  mutating func tuple(
    inParentheses: Bool = false, isConditional: Bool = true, end: String? = nil
  ) throws(Lexer.Complaint) -> Expression {
    var items: [Expression] = []
    var isTuple = false
    while !isTupleEnd(end) {
      items.append(try expression(isConditional: isConditional))
      guard skip(.comma) else { break }
      isTuple = true
    }
    if !isTuple, let only = items.first { return only }
    guard isTuple || inParentheses else { throw unexpected("an expression") }
    return .tuple(items)
  }

  func isTupleEnd(_ word: String?) -> Bool {
    switch current.kind {
    case .variableEnd, .blockEnd, .symbol(.closeParenthesis): true
    case .name(let name): name == word
    default: false
    }
  }
}
