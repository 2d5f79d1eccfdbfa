/// Joins bytes that arrive in parts into text without ever showing half a character.
///
/// Invalid sequences become U+FFFD, one for each maximal part of a character, as in Swift's,
/// Rust's and Python's own repair of UTF-8.
struct UTF8Assembler {
  private var held: [UInt8] = []

  mutating func append(_ bytes: [UInt8]) -> String {
    held.append(contentsOf: bytes)
    let cut = held.count - Self.openTail(held)
    let text = String(decoding: held[..<cut], as: UTF8.self)
    held.removeSubrange(..<cut)
    return text
  }

  mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  /// Length of the character at the end that further bytes could still complete.
  private static func openTail(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let tail = bytes[(bytes.count - length)...]
      guard let lead = tail.first, lead & 0xC0 != 0x80 else { continue }
      let wanted =
        lead >= 0xC2 && lead < 0xE0
        ? 2
        : lead >= 0xE0 && lead < 0xF0
          ? 3
          : lead >= 0xF0 && lead < 0xF5 ? 4 : 1
      guard length < wanted else { return 0 }
      // The second byte excludes overlong forms, surrogates and what lies beyond U+10FFFF.
      if length > 1 {
        let second = tail[tail.startIndex + 1]
        let low: UInt8 = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80
        let high: UInt8 = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF
        guard second >= low, second <= high else { return 0 }
      }
      return length
    }
    return 0
  }
}
