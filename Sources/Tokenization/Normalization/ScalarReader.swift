/// Reads code points out of UTF-8 that is known to be valid, without building a `String`.
struct ScalarReader {
  private let text: UnsafeBufferPointer<UInt8>
  private(set) var offset: Int

  init(_ text: UnsafeBufferPointer<UInt8>, at offset: Int) {
    self.text = text
    self.offset = offset
  }

  mutating func next() -> UInt32? {
    guard offset < text.count else { return nil }
    let length = Self.length(text[offset])
    // Valid text has no cut sequence; a foreign byte would only be read as itself.
    guard offset + length <= text.count, length > 1 else {
      offset += 1
      return UInt32(text[offset - 1])
    }
    var code = UInt32(text[offset]) & (0x7F >> UInt32(length))
    for at in offset + 1..<offset + length { code = code << 6 | UInt32(text[at] & 0x3F) }
    offset += length
    return code < 0x110000 ? code : 0xFFFD
  }

  /// Bytes of the sequence that starts with this byte.
  static func length(_ lead: UInt8) -> Int {
    lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
  }

  static func append(_ code: UInt32, to bytes: inout [UInt8]) {
    if code < 0x80 {
      bytes.append(UInt8(code))
    } else if code < 0x800 {
      bytes.append(UInt8(0xC0 | code >> 6))
      bytes.append(UInt8(0x80 | code & 0x3F))
    } else if code < 0x10000 {
      bytes.append(UInt8(0xE0 | code >> 12))
      bytes.append(UInt8(0x80 | code >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | code & 0x3F))
    } else {
      bytes.append(UInt8(0xF0 | code >> 18 & 0x07))
      bytes.append(UInt8(0x80 | code >> 12 & 0x3F))
      bytes.append(UInt8(0x80 | code >> 6 & 0x3F))
      bytes.append(UInt8(0x80 | code & 0x3F))
    }
  }
}
