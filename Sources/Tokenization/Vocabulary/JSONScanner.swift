import Support

/// Walks over JSON text in place, without recursion and without building values.
///
/// What it reads it reads strictly; what it skips is left to the parser that reads it later.
struct JSONScanner {
  private let bytes: UnsafeBufferPointer<UInt8>
  private let subject: String
  private(set) var at = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>, subject: String) {
    self.bytes = bytes
    self.subject = subject
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { at = 3 }
    skipSpace()
  }

  mutating func move(to offset: Int) { at = offset }

  private func failure(_ problem: String) -> Failure {
    Failure(.malformed, subject, at: "byte \(at)", "not valid JSON: \(problem)")
  }

  private mutating func skipSpace() {
    while at < bytes.count {
      switch bytes[at] {
      case 0x20, 0x0A, 0x0D, 0x09: at += 1
      default: return
      }
    }
  }

  /// The byte at hand, 0 at the end.
  var peek: UInt8 { at < bytes.count ? bytes[at] : 0 }

  private mutating func expect(_ byte: UInt8) throws(Failure) {
    guard peek == byte else {
      throw failure("'\(Unicode.Scalar(byte))' expected")
    }
    at += 1
    skipSpace()
  }

  /// Byte ranges of the named members' values in the object at hand.
  mutating func members(_ names: Set<String>) throws(Failure) -> [String: Range<Int>] {
    var found: [String: Range<Int>] = [:]
    guard peek == UInt8(ascii: "{") else { return found }
    try eachMember { (scanner, key) throws(Failure) in
      let name = names.first { $0.utf8.elementsEqual(key) }
      let start = scanner.at
      try scanner.skipValue()
      if let name {
        guard found[name] == nil else { throw scanner.failure("key \"\(name)\" stands twice") }
        found[name] = start..<scanner.at
      }
    }
    return found
  }

  /// Steps over one value of any kind.
  private mutating func skipValue() throws(Failure) {
    var depth = 0
    repeat {
      skipSpace()
      switch peek {
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        depth += 1
        at += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth -= 1
        at += 1
      case UInt8(ascii: "\""):
        _ = try rawString()
      case UInt8(ascii: ","), UInt8(ascii: ":"):
        guard depth > 0 else { throw failure("a value is expected") }
        at += 1
      default:
        let start = at
        while at < bytes.count, Self.isWord(bytes[at]) { at += 1 }
        guard at > start else { throw failure("a value is expected") }
      }
    } while depth > 0
    guard depth == 0 else { throw failure("a value is expected") }
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A || byte == 0x2B
      || byte == 0x2D || byte == 0x2E
  }

  /// Calls `body` at each member's value with its key.
  mutating func eachMember(
    _ body: (inout JSONScanner, UnsafeBufferPointer<UInt8>) throws(Failure) -> Void
  ) throws(Failure) {
    try expect(UInt8(ascii: "{"))
    guard peek != UInt8(ascii: "}") else {
      at += 1
      return
    }
    while true {
      let key = try rawString()
      skipSpace()
      try expect(UInt8(ascii: ":"))
      if key.isPlain {
        try body(&self, UnsafeBufferPointer(rebasing: bytes[key.range]))
      } else {
        try unescape(key.range).withUnsafeBufferPointer { (key) throws(Failure) in
          try body(&self, key)
        }
      }
      skipSpace()
      guard peek == UInt8(ascii: ",") else {
        guard peek == UInt8(ascii: "}") else { throw failure("',' or '}' expected") }
        at += 1
        return
      }
      try expect(UInt8(ascii: ","))
    }
  }

  /// Calls `body` at each element of the list at hand.
  mutating func elements(_ body: (inout JSONScanner) throws(Failure) -> Void) throws(Failure) {
    try expect(UInt8(ascii: "["))
    guard peek != UInt8(ascii: "]") else {
      at += 1
      return
    }
    while true {
      try body(&self)
      skipSpace()
      guard peek == UInt8(ascii: ",") else {
        guard peek == UInt8(ascii: "]") else { throw failure("',' or ']' expected") }
        at += 1
        return
      }
      try expect(UInt8(ascii: ","))
    }
  }

  /// An integer without fraction or exponent, or nil for any other value.
  mutating func integer() throws(Failure) -> Int? {
    let start = at
    try skipValue()
    return Int(String(decoding: bytes[start..<at], as: UTF8.self))
  }

  /// Calls `body` with the bytes of the string at hand.
  mutating func string(_ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Void)
    throws(Failure)
  {
    let raw = try rawString()
    if raw.isPlain {
      try body(UnsafeBufferPointer(rebasing: bytes[raw.range]))
    } else {
      try unescape(raw.range).withUnsafeBufferPointer { (text) throws(Failure) in try body(text) }
    }
  }

  /// Bounds of the string at hand without its quotes, and whether it is free of escapes.
  private mutating func rawString() throws(Failure) -> (range: Range<Int>, isPlain: Bool) {
    guard peek == UInt8(ascii: "\"") else { throw failure("a string is expected") }
    at += 1
    let start = at
    var isPlain = true
    while at < bytes.count {
      switch bytes[at] {
      case UInt8(ascii: "\""):
        at += 1
        return (start..<at - 1, isPlain)
      case UInt8(ascii: "\\"):
        isPlain = false
        at += 2
      case 0..<0x20: throw failure("control character in a string")
      default: at += 1
      }
    }
    throw failure("unexpected end")
  }

  private func unescape(_ range: Range<Int>) throws(Failure) -> [UInt8] {
    let quoted = Array(bytes[range.lowerBound - 1..<range.upperBound + 1])
    guard let text = try JSONValue.parse(quoted, subject: subject).string else {
      throw failure("a string is expected")
    }
    return Array(text.utf8)
  }
}
