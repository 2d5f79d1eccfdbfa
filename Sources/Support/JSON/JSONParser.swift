import FoundationEssentials

extension JSONValue {
  /// Parses one strict JSON document.
  ///
  /// - Parameter subject: the file's name, for error messages.
  /// - Throws: `Failure(.malformed)` naming the byte offset: bad syntax, bad UTF-8, duplicate
  ///   keys, more than 128 levels of nesting, or anything after the document.
  public static func parse(_ bytes: UnsafeRawBufferPointer, subject: String) throws(Failure)
    -> JSONValue
  {
    var parser = JSONParser(bytes: bytes, subject: subject)
    return try parser.document()
  }

  public static func parse(_ bytes: [UInt8], subject: String) throws(Failure) -> JSONValue {
    let result: Result<JSONValue, Failure> = bytes.withUnsafeBytes { buffer in
      do throws(Failure) {
        return .success(try parse(buffer, subject: subject))
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  public static func parse(_ text: String, subject: String) throws(Failure) -> JSONValue {
    try parse(Array(text.utf8), subject: subject)
  }
}

struct JSONParser {
  let bytes: UnsafeRawBufferPointer
  let subject: String
  var at = 0
  static let maximumDepth = 128

  func failure(_ problem: String) -> Failure {
    Failure(.malformed, subject, at: "byte \(at)", "not valid JSON: \(problem)")
  }

  mutating func document() throws(Failure) -> JSONValue {
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { at = 3 }
    let result = try value(depth: 0)
    skipSpace()
    guard at == bytes.count else { throw failure("text after the document") }
    return result
  }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x0A, 0x0D, 0x09: at += 1
      default: return
      }
    }
  }

  private func peek() throws(Failure) -> UInt8 {
    guard at < bytes.count else { throw failure("unexpected end") }
    return bytes[at]
  }

  private mutating func value(depth: Int) throws(Failure) -> JSONValue {
    guard depth < Self.maximumDepth else { throw failure("nested too deeply") }
    skipSpace()
    switch try peek() {
    case UInt8(ascii: "{"): return .object(try object(depth: depth))
    case UInt8(ascii: "["): return .array(try array(depth: depth))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func literal(_ text: StaticString, _ value: JSONValue) throws(Failure)
    -> JSONValue
  {
    for offset in 0..<text.utf8CodeUnitCount {
      guard at < bytes.count, bytes[at] == text.utf8Start[offset] else {
        throw failure("unknown literal")
      }
      at += 1
    }
    return value
  }

  private mutating func object(depth: Int) throws(Failure) -> JSONObject {
    var result = JSONObject()
    at += 1
    skipSpace()
    if try peek() == UInt8(ascii: "}") {
      at += 1
      return result
    }
    while true {
      skipSpace()
      guard try peek() == UInt8(ascii: "\"") else { throw failure("a key must be a string") }
      let key = try string()
      guard result.position(of: key) == nil else {
        throw failure("key \"\(key.prefix(100))\" stands twice")
      }
      skipSpace()
      guard try peek() == UInt8(ascii: ":") else { throw failure("':' expected") }
      at += 1
      result.append(key, try value(depth: depth + 1))
      skipSpace()
      let next = try peek()
      at += 1
      if next == UInt8(ascii: "}") { return result }
      guard next == UInt8(ascii: ",") else { throw failure("',' or '}' expected") }
    }
  }

  private mutating func array(depth: Int) throws(Failure) -> [JSONValue] {
    var result: [JSONValue] = []
    at += 1
    skipSpace()
    if try peek() == UInt8(ascii: "]") {
      at += 1
      return result
    }
    while true {
      result.append(try value(depth: depth + 1))
      skipSpace()
      let next = try peek()
      at += 1
      if next == UInt8(ascii: "]") { return result }
      guard next == UInt8(ascii: ",") else { throw failure("',' or ']' expected") }
    }
  }

  private mutating func number() throws(Failure) -> JSONValue {
    let start = at
    var isInteger = true
    if try peek() == UInt8(ascii: "-") { at += 1 }
    let firstDigit = at
    try digits()
    if bytes[firstDigit] == UInt8(ascii: "0"), at - firstDigit > 1 {
      throw failure("a number starts with 0")
    }
    if at < bytes.count, bytes[at] == UInt8(ascii: ".") {
      isInteger = false
      at += 1
      try digits()
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      isInteger = false
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") {
        at += 1
      }
      try digits()
    }
    let text = String(decoding: bytes[start..<at], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else { throw failure("number out of range") }
    return .number(value)
  }

  private mutating func digits() throws(Failure) {
    let start = at
    while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 { at += 1 }
    guard at > start else { throw failure("digit expected") }
  }

  private mutating func string() throws(Failure) -> String {
    at += 1
    let start = at
    // Most strings hold no escape: they are taken in one piece.
    while true {
      let byte = try peek()
      if byte == UInt8(ascii: "\"") {
        let text = try utf8(bytes[start..<at])
        at += 1
        return text
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start) }
      guard byte >= 0x20 else { throw failure("control character in a string") }
      at += 1
    }
  }

  private func utf8(_ slice: Slice<UnsafeRawBufferPointer>) throws(Failure) -> String {
    guard let text = String(validating: slice, as: UTF8.self) else {
      throw failure("invalid UTF-8 in a string")
    }
    return text
  }

  private mutating func escapedString(from start: Int) throws(Failure) -> String {
    var text = Array(bytes[start..<at])
    while true {
      let byte = try peek()
      at += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let result = String(validating: text, as: UTF8.self) else {
          throw failure("invalid UTF-8 in a string")
        }
        return result
      case UInt8(ascii: "\\"):
        text.append(contentsOf: Array(String(try escape()).utf8))
      case 0..<0x20: throw failure("control character in a string")
      default: text.append(byte)
      }
    }
  }

  private mutating func escape() throws(Failure) -> Unicode.Scalar {
    let byte = try peek()
    at += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0C}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "u"):
      let unit = try hex4()
      if let scalar = Unicode.Scalar(UInt32(unit)) { return scalar }
      // A high surrogate takes its partner; a lone surrogate cannot be text and reads as U+FFFD.
      if unit < 0xDC00, at + 1 < bytes.count, bytes[at] == UInt8(ascii: "\\"),
        bytes[at + 1] == UInt8(ascii: "u")
      {
        let mark = at
        at += 2
        let low = try hex4()
        if (0xDC00..<0xE000).contains(low) {
          let value = 0x10000 + (UInt32(unit) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
          return Unicode.Scalar(value) ?? "\u{FFFD}"
        }
        at = mark
      }
      return "\u{FFFD}"
    default: throw failure("unknown escape")
    }
  }

  private mutating func hex4() throws(Failure) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      let byte = try peek()
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
        throw failure("four hexadecimal digits expected after \\u")
      }
      value = value << 4 | UInt16(digit)
      at += 1
    }
    return value
  }
}
