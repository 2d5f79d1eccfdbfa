import Support

/// Turns an Oniguruma pattern, which is what tokenizer.json holds, into PCRE2's dialect.
///
/// The two agree on most of the syntax but not on what classes mean: `\s` must not match U+180E,
/// `\w` contains marks, `\h` is a hexadecimal digit, `\v` one character, `^` and `$` see lines.
/// Every escape is written out as what it means; what has no translation is refused by name.
struct PatternTranslation {
  private static let space =
    #"\x{09}-\x{0D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}"#
  private static let notSpace =
    #"\x{00}-\x{08}\x{0E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}"#
    + #"\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF}"#
  /// Alphabetic characters, marks, digits, connectors; and, below U+0100, `²³¹¼½¾`.
  private static let word =
    #"\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}"#
    + #"\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}"#
  private static let hexadecimal = "0-9A-Fa-f"

  private let input: [Unicode.Scalar]
  private var at = 0
  private var output = ""
  private let refuse: (String) -> Failure

  private init(_ pattern: String, refuse: @escaping (String) -> Failure) {
    input = Array(pattern.unicodeScalars)
    self.refuse = refuse
  }

  /// - Parameter refuse: makes the error out of what is not supported.
  static func translate(_ pattern: String, refuse: @escaping (String) -> Failure) throws(Failure)
    -> String
  {
    // Trailing space is searched from each of its positions to the end of the run, quadratic in
    // its length; only the first position of a run can match.
    if pattern == #"\s+$"# { return "(?<![\(space)])[\(space)]+$" }
    var translation = PatternTranslation(pattern, refuse: refuse)
    while translation.at < translation.input.count { try translation.item() }
    return translation.output
  }

  private func peek(_ offset: Int = 0) -> Unicode.Scalar? {
    at + offset < input.count ? input[at + offset] : nil
  }

  private mutating func item() throws(Failure) {
    let scalar = input[at]
    at += 1
    switch scalar {
    case "\\": try escape()
    case "[": try characterClass()
    case "(": try group()
    case "{": try interval()
    case "]", "}": output += "\\\(scalar)"
    default: output.unicodeScalars.append(scalar)
    }
  }

  private mutating func group() throws(Failure) {
    guard peek() == "?" else {
      guard peek() != "*" else { throw refuse("the construct \"(*\" in a pattern") }
      output += "(?:"
      return
    }
    for opening in ["?:", "?=", "?!", "?<=", "?<!", "?>", "?i:", "?-i:"]
    where input[at...].starts(with: opening.unicodeScalars) {
      at += opening.unicodeScalars.count
      output += "(" + opening
      return
    }
    // Further inside, an option without a colon reaches differently far in the two dialects.
    if at == 1, input[at...].starts(with: "?i)".unicodeScalars) {
      at += 3
      output += "(?i)"
      return
    }
    let shown = String(String.UnicodeScalarView(input[(at - 1)..<min(at + 3, input.count)]))
    throw refuse("the group \"\(shown)\" in a pattern")
  }

  /// `{n}`, `{n,}`, `{n,m}`, `{,m}`; any other brace is a character.
  private mutating func interval() throws(Failure) {
    func digits(_ from: Int) -> Int {
      var end = from
      while end < input.count, ("0"..."9").contains(input[end]) { end += 1 }
      return end
    }
    let lowEnd = digits(at)
    var end = lowEnd
    var highStart = lowEnd
    if end < input.count, input[end] == "," {
      highStart = end + 1
      end = digits(highStart)
    }
    let isRange = highStart > lowEnd
    guard end < input.count, input[end] == "}", lowEnd > at || (isRange && end > highStart) else {
      output += "\\{"
      return
    }
    let low = lowEnd > at ? String(String.UnicodeScalarView(input[at..<lowEnd])) : "0"
    let high = String(String.UnicodeScalarView(input[highStart..<end]))
    output += isRange ? "{\(low),\(high)}" : "{\(low)}"
    at = end + 1
    // Oniguruma reads these as a second quantifier, PCRE2 as a flavour of the first.
    if peek() == "+" || (peek() == "?" && !isRange) {
      throw refuse("a quantifier after \"{…}\" in a pattern")
    }
  }

  private mutating func escape() throws(Failure) {
    guard let scalar = peek() else { throw refuse("a pattern that ends in \"\\\"") }
    if let set = try setEscape() {
      // One property stands alone: PCRE2 matches it faster than a class that holds it.
      let isProperty = set.lowercased().hasPrefix("\\p") && set.utf8.count { $0 == 0x5C } == 1
      output += isProperty ? set : "[\(set)]"
      return
    }
    if let code = try characterEscape() {
      output += Self.literal(code)
      return
    }
    at += 1
    let before = "(?<=[\(Self.word)])"
    let after = "(?=[\(Self.word)])"
    let notBefore = "(?<![\(Self.word)])"
    let notAfter = "(?![\(Self.word)])"
    switch scalar {
    case "W": output += "[^\(Self.word)]"
    case "b": output += "(?:\(before)\(notAfter)|\(notBefore)\(after))"
    case "B": output += "(?:\(before)\(after)|\(notBefore)\(notAfter))"
    case "A", "z", "Z": output += "\\\(scalar)"
    default: throw refuse("the escape \"\\\(scalar)\" in a pattern")
    }
  }

  /// An escape that means a set of characters, as the inside of a class.
  private mutating func setEscape() throws(Failure) -> String? {
    guard let scalar = peek() else { return nil }
    let set: String
    switch scalar {
    case "d": set = #"\p{Nd}"#
    case "D": set = #"\P{Nd}"#
    case "s": set = Self.space
    case "S": set = Self.notSpace
    case "w": set = Self.word
    case "h": set = Self.hexadecimal
    case "p", "P":
      guard peek(1) == "{", let close = input[at...].firstIndex(of: "}") else {
        throw refuse("a property without braces in a pattern")
      }
      var name = Array(input[(at + 2)..<close])
      var negated = scalar == "P"
      if name.first == "^" {
        negated.toggle()
        name.removeFirst()
      }
      let plain = name.allSatisfy { $0.isASCII && ($0.properties.isAlphabetic || $0 == "_") }
      guard plain, !name.isEmpty, name.count < 48 else {
        throw refuse("a property with an unusual name in a pattern")
      }
      at = close + 1
      // Short names are general categories; a bare script's name would mean its extensions too.
      let text = (name.count > 2 ? "sc:" : "") + String(String.UnicodeScalarView(name))
      return "\\\(negated ? "P" : "p"){\(text)}"
    default: return nil
    }
    at += 1
    return set
  }

  /// An escape that means one character.
  private mutating func characterEscape() throws(Failure) -> UInt32? {
    guard let scalar = peek() else { return nil }
    let simple: [Unicode.Scalar: UInt32] = [
      "n": 0x0A, "r": 0x0D, "t": 0x09, "f": 0x0C, "v": 0x0B, "a": 0x07, "e": 0x1B,
    ]
    if let code = simple[scalar] {
      at += 1
      return code
    }
    if scalar == "x" || scalar == "u" {
      at += 1
      var digits: ArraySlice<Unicode.Scalar>
      if scalar == "x", peek() == "{", let close = input[at...].firstIndex(of: "}") {
        digits = input[(at + 1)..<close]
        at = close + 1
      } else {
        digits = input[at..<min(at + (scalar == "x" ? 2 : 4), input.count)]
        at += digits.count
      }
      let text = String(String.UnicodeScalarView(digits))
      guard let code = UInt32(text, radix: 16), Unicode.Scalar(code) != nil,
        scalar == "x" || digits.count == 4
      else { throw refuse("the escape \"\\\(scalar)\(text)\" in a pattern") }
      return code
    }
    guard !scalar.properties.isAlphabetic, !("0"..."9").contains(scalar) else { return nil }
    at += 1
    return scalar.value
  }

  private static func literal(_ code: UInt32) -> String { "\\x{\(String(code, radix: 16))}" }

  private mutating func characterClass() throws(Failure) {
    output += "["
    if peek() == "^" {
      at += 1
      output += "^"
    }
    guard peek() != "]" else { throw refuse("an empty character class in a pattern") }
    var afterSet = false
    while let scalar = peek() {
      at += 1
      switch scalar {
      case "]":
        output += "]"
        return
      case "[": throw refuse("a class inside of a character class in a pattern")
      case "&" where peek() == "&": throw refuse("\"&&\" in a character class in a pattern")
      case "\\":
        if let set = try setEscape() {
          output += set
          afterSet = true
          continue
        }
        if peek() == "b" {
          at += 1
          output += Self.literal(8)
        } else if let code = try characterEscape() {
          output += Self.literal(code)
        } else {
          throw refuse("the escape \"\\\(peek().map(String.init) ?? "")\" in a character class")
        }
      case "-":
        // Next to a set it cannot be a range.
        let beforeSet = peek() == "\\" && "dDsSwhpP".unicodeScalars.contains(peek(1) ?? "-")
        output += afterSet || beforeSet ? "\\-" : "-"
      case "^": output += "\\^"
      default: output.unicodeScalars.append(scalar)
      }
      afterSet = false
    }
    throw refuse("a character class without its end in a pattern")
  }
}
