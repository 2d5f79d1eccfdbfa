/// Cuts a template into tokens and applies whitespace control, with `trim_blocks` and
/// `lstrip_blocks` on.
struct Lexer {
  let source: [Scalar]
  var at = 0
  var line = 1
  var tokens: [Token] = []
  /// Whether what was read last ends a line, so that a tag coming next stands first on its own.
  private var isLineStart = true

  /// - Parameter text: the template; its line ends become `\n`, the last one is dropped.
  init(_ text: String) {
    var scalars: [Scalar] = []
    scalars.reserveCapacity(text.utf8.count)
    var behindReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\n", behindReturn {
        behindReturn = false
        continue
      }
      behindReturn = scalar == "\r"
      scalars.append(behindReturn ? "\n" : scalar)
    }
    if scalars.last == "\n" { scalars.removeLast() }
    source = scalars
  }

  /// Where and what a token could not be read.
  struct Complaint: Error {
    var problem: Problem
    var line: Int
  }

  func complain(_ message: String) -> Complaint {
    Complaint(problem: Problem(.syntax, message), line: line)
  }

  mutating func run() throws(Complaint) -> [Token] {
    while at < source.count { try readData() }
    tokens.append(Token(kind: .end, line: line))
    return tokens
  }

  // MARK: Text and tags

  private enum Tag { case block, variable, comment }

  private func peek(_ offset: Int = 0) -> Scalar? {
    at + offset < source.count ? source[at + offset] : nil
  }

  private func tag(at place: Int) -> Tag? {
    guard source[place] == "{", place + 1 < source.count else { return nil }
    switch source[place + 1] {
    case "%": return .block
    case "{": return .variable
    case "#": return .comment
    default: return nil
    }
  }

  /// Text up to the next tag, and the tag.
  private mutating func readData() throws(Complaint) {
    let start = at
    var end = at
    var found: Tag?
    while end < source.count {
      found = tag(at: end)
      if found != nil { break }
      end += 1
    }
    guard let found else {
      emitData(start..<end)
      advance(to: end)
      return
    }
    let sign = end + 2 < source.count ? source[end + 2] : " "
    let text = stripped(start..<end, sign: sign, isVariable: found == .variable)
    emitData(text)
    advance(to: end)
    let begin = Token(kind: found == .variable ? .variableBegin : .blockBegin, line: line)
    at += 2
    if sign == "-" || sign == "+" { at += 1 }
    switch found {
    case .comment: try skipComment()
    case .variable:
      tokens.append(begin)
      try readExpression(endsWith: "}")
    case .block:
      if try readRaw() { return }
      tokens.append(begin)
      try readExpression(endsWith: "%")
    }
  }

  private mutating func emitData(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    tokens.append(Token(kind: .data(Text(source[range])), line: line))
  }

  mutating func advance(to end: Int) {
    for scalar in source[at..<end] where scalar == "\n" { line += 1 }
    at = end
  }

  /// What is left of the text in front of a tag.
  private func stripped(_ range: Range<Int>, sign: Scalar, isVariable: Bool) -> Range<Int> {
    var end = range.upperBound
    if sign == "-" {
      while end > range.lowerBound, source[end - 1].isPythonSpace { end -= 1 }
      return range.lowerBound..<end
    }
    guard sign != "+", !isVariable else { return range }
    // A tag that stands alone on its line loses the space in front of it.
    while end > range.lowerBound, source[end - 1] != "\n" {
      guard source[end - 1].isPythonSpace else { return range }
      end -= 1
    }
    return end > range.lowerBound || isLineStart ? range.lowerBound..<end : range
  }

  private mutating func skipSpace() {
    var end = at
    while end < source.count, source[end].isPythonSpace { end += 1 }
    advance(to: end)
  }

  /// Behind the end of a tag: `-` eats all space, a block or comment one line end.
  private mutating func finishTag(sign: Scalar, eatsLineEnd: Bool) {
    let start = at
    if sign == "-" {
      skipSpace()
    } else if eatsLineEnd, sign != "+", peek() == "\n" {
      advance(to: at + 1)
    }
    isLineStart = at > start && source[at - 1] == "\n"
  }

  private mutating func skipComment() throws(Complaint) {
    var end = at
    while end + 1 < source.count, source[end] != "#" || source[end + 1] != "}" { end += 1 }
    guard end + 1 < source.count else { throw complain("a comment {# is never closed") }
    let sign = end > at ? source[end - 1] : " "
    advance(to: end + 2)
    finishTag(sign: sign, eatsLineEnd: true)
  }

  // MARK: Raw blocks

  /// Whether `word` and the end of a block stand at `place`, and where that end is.
  private func closing(_ word: Text, at place: Int) -> (end: Int, sign: Scalar)? {
    var next = place
    while next < source.count, source[next].isPythonSpace { next += 1 }
    guard source[next...].starts(with: word.scalars) else { return nil }
    next += word.count
    while next < source.count, source[next].isPythonSpace { next += 1 }
    var sign: Scalar = " "
    if next < source.count, source[next] == "-" || source[next] == "+" {
      sign = source[next]
      next += 1
    }
    guard next + 1 < source.count, source[next] == "%", source[next + 1] == "}" else { return nil }
    return (next + 2, sign)
  }

  /// Reads `raw … endraw` if this is one; the text in between is taken as it is.
  private mutating func readRaw() throws(Complaint) -> Bool {
    guard let opening = closing("raw", at: at), opening.sign != "+" else { return false }
    advance(to: opening.end)
    finishTag(sign: opening.sign, eatsLineEnd: false)
    var end = at
    while end < source.count {
      if tag(at: end) == .block {
        var inner = end + 2
        let sign = inner < source.count ? source[inner] : " "
        if sign == "-" || sign == "+" { inner += 1 }
        if let closed = closing("endraw", at: inner) {
          emitData(stripped(at..<end, sign: sign, isVariable: false))
          advance(to: closed.end)
          finishTag(sign: closed.sign, eatsLineEnd: true)
          return true
        }
      }
      end += 1
    }
    throw complain("a raw block is never closed: {% endraw %} is missing")
  }

  // MARK: Inside of tags

  /// Reads tokens up to `}}` or `%}`; inside of brackets these are not an end.
  private mutating func readExpression(endsWith closer: Scalar) throws(Complaint) {
    var brackets: [(open: Token.Symbol, close: Token.Symbol)] = []
    while true {
      skipSpace()
      guard let scalar = peek() else {
        throw complain(
          brackets.last.map { "'\($0.open.rawValue)' is never closed" } ?? "a tag is never closed")
      }
      if brackets.isEmpty, let sign = tagEnd(closer) {
        tokens.append(Token(kind: closer == "}" ? .variableEnd : .blockEnd, line: line))
        at += sign == " " ? 2 : 3
        finishTag(sign: sign, eatsLineEnd: closer == "%")
        return
      }
      let start = line
      if let kind = try word(scalar) {
        tokens.append(Token(kind: kind, line: start))
        continue
      }
      guard let symbol = symbol() else { throw complain("unexpected character '\(scalar)'") }
      switch symbol {
      case .openBrace: brackets.append((symbol, .closeBrace))
      case .openParenthesis: brackets.append((symbol, .closeParenthesis))
      case .openBracket: brackets.append((symbol, .closeBracket))
      case .closeBrace, .closeParenthesis, .closeBracket:
        guard let open = brackets.popLast() else {
          throw complain("unexpected '\(symbol.rawValue)'")
        }
        guard open.close == symbol else {
          throw complain(
            "unexpected '\(symbol.rawValue)', expected '\(open.close.rawValue)'")
        }
      default: break
      }
      at += symbol.rawValue.utf8.count
      tokens.append(Token(kind: .symbol(symbol), line: start))
    }
  }

  /// The sign in front of the end of the tag (a space for none), or nil where it does not end.
  /// `+` before `}}` is an operator.
  private func tagEnd(_ closer: Scalar) -> Scalar? {
    if peek() == closer, peek(1) == "}" { return " " }
    guard peek(1) == closer, peek(2) == "}" else { return nil }
    if peek() == "-" { return "-" }
    return peek() == "+" && closer == "%" ? "+" : nil
  }

  private static let symbols: [[Scalar]: Token.Symbol] = Dictionary(
    uniqueKeysWithValues: Token.Symbol.allCases.map { (Array($0.rawValue.unicodeScalars), $0) })

  private func symbol() -> Token.Symbol? {
    if at + 1 < source.count, let two = Self.symbols[Array(source[at...at + 1])] { return two }
    return Self.symbols[[source[at]]]
  }

  /// A name, number or string, if one starts here.
  private mutating func word(_ scalar: Scalar) throws(Complaint) -> Token.Kind? {
    if scalar.isASCIIDigit { return try number() }
    if scalar.isWord {
      let start = at
      while at < source.count, source[at].isWord { at += 1 }
      return .name(Text(source[start..<at]).string)
    }
    return scalar == "'" || scalar == "\"" ? .string(try stringLiteral()) : nil
  }
}
