extension Lexer {
  // MARK: Numbers

  /// An integer in base 2, 8, 10 or 16, or a float; digits may be grouped with underscores.
  mutating func number() throws(Complaint) -> Token.Kind {
    if source[at] == "0", at + 1 < source.count {
      switch source[at + 1] {
      case "b", "B": if let value = try prefixed(radix: 2) { return value }
      case "o", "O": if let value = try prefixed(radix: 8) { return value }
      case "x", "X": if let value = try prefixed(radix: 16) { return value }
      default: break
      }
    }
    let start = at
    // In `a.1.5` the digits behind a dot are an index, never the start of a float.
    let mayBeFloat = start == 0 || source[start - 1] != "."
    var text = digits(radix: 10)
    var isFloat = false
    if mayBeFloat {
      let mark = at
      if at + 1 < source.count, source[at] == ".", source[at + 1].isASCIIDigit {
        at += 1
        text += "." + digits(radix: 10)
        isFloat = true
      }
      if let exponent = exponent() {
        text += exponent
        isFloat = true
      }
      if !isFloat { at = mark }
    }
    if isFloat {
      guard let value = Double(text) else { throw complain("the number \(text) cannot be read") }
      return .float(value)
    }
    guard text.allSatisfy({ $0 == "0" }) || text.first != "0" else {
      throw complain("the integer \(text) starts with 0")
    }
    guard let value = Int(text) else {
      throw complain("the integer \(text.prefix(40)) is too large")
    }
    return .integer(value)
  }

  private mutating func digits(radix: Int) -> String {
    var text = ""
    while at < source.count {
      let scalar = source[at]
      if scalar.isASCII, let digit = Character(scalar).hexDigitValue, digit < radix {
        text.unicodeScalars.append(scalar)
      } else if scalar == "_", at + 1 < source.count, source[at + 1].isASCII,
        let next = Character(source[at + 1]).hexDigitValue, next < radix
      {
      } else {
        break
      }
      at += 1
    }
    return text
  }

  private mutating func prefixed(radix: Int) throws(Complaint) -> Token.Kind? {
    let mark = at
    at += 2
    let text = digits(radix: radix)
    guard !text.isEmpty else {
      at = mark
      return nil
    }
    guard let value = Int(text, radix: radix) else { throw complain("an integer is too large") }
    return .integer(value)
  }

  private mutating func exponent() -> String? {
    guard at < source.count, source[at] == "e" || source[at] == "E" else { return nil }
    let mark = at
    at += 1
    var text = "e"
    if at < source.count, source[at] == "+" || source[at] == "-" {
      text.unicodeScalars.append(source[at])
      at += 1
    }
    guard at < source.count, source[at].isASCIIDigit else {
      at = mark
      return nil
    }
    return text + digits(radix: 10)
  }

  // MARK: Strings

  /// A string with Python's escapes; an unknown escape stays as it is written.
  mutating func stringLiteral() throws(Complaint) -> Text {
    let quote = source[at]
    let start = at + 1
    var end = start
    while end < source.count, source[end] != quote { end += source[end] == "\\" ? 2 : 1 }
    guard end < source.count else { throw complain("a string is never closed") }
    let body = source[start..<end]
    var result: [Scalar] = []
    if body.contains("\\") {
      result = try unescape(Array(body))
    } else {
      result = Array(body)
    }
    advance(to: end + 1)
    return Text(result)
  }

  private func unescape(_ body: [Scalar]) throws(Complaint) -> [Scalar] {
    var result: [Scalar] = []
    var at = 0
    while at < body.count {
      let scalar = body[at]
      at += 1
      guard scalar == "\\", at < body.count else {
        result.append(scalar)
        continue
      }
      let escape = body[at]
      at += 1
      switch escape {
      case "\n": break
      case "\\", "'", "\"": result.append(escape)
      case "a": result.append("\u{07}")
      case "b": result.append("\u{08}")
      case "f": result.append("\u{0C}")
      case "n": result.append("\n")
      case "r": result.append("\r")
      case "t": result.append("\t")
      case "v": result.append("\u{0B}")
      case "0"..."7":
        var value = escape.value - 0x30
        var length = 1
        while length < 3, at < body.count, ("0"..."7").contains(body[at]) {
          value = value * 8 + body[at].value - 0x30
          at += 1
          length += 1
        }
        result.append(Scalar(value) ?? "\u{FFFD}")
      case "x": result.append(try hexadecimal(2, body, &at))
      case "u": result.append(try hexadecimal(4, body, &at))
      case "U": result.append(try hexadecimal(8, body, &at))
      case "N": throw complain("\\N{…} is not supported in a string; write the character itself")
      default:
        result.append("\\")
        result.append(escape)
      }
    }
    return result
  }

  private func hexadecimal(_ count: Int, _ body: [Scalar], _ at: inout Int) throws(Complaint)
    -> Scalar
  {
    func unit(_ start: Int) -> UInt32? {
      guard start + count <= body.count else { return nil }
      var value: UInt32 = 0
      for scalar in body[start..<start + count] {
        guard scalar.isASCII, let digit = Character(scalar).hexDigitValue else { return nil }
        value = value << 4 | UInt32(digit)
      }
      return value
    }
    guard let value = unit(at) else {
      throw complain(
        "\\\(count == 2 ? "x" : count == 4 ? "u" : "U") needs \(count) hexadecimal digits")
    }
    at += count
    if let scalar = Scalar(value) { return scalar }
    guard value < 0x110000 else { throw complain("a string names a character beyond U+10FFFF") }
    // A pair of surrogates written as two escapes is one character; one alone cannot be text.
    if value < 0xDC00, at + 1 < body.count, body[at] == "\\", body[at + 1] == "u",
      let low = unit(at + 2), (0xDC00..<0xE000).contains(low)
    {
      at += 2 + count
      return Scalar(0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)) ?? "\u{FFFD}"
    }
    return "\u{FFFD}"
  }
}
