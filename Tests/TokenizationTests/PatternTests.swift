import Support
import Testing

@testable import Tokenization

/// What classes of characters mean, at the places where PCRE2 and Oniguruma differ.
@Suite struct PatternTests {
  private static func matches(_ pattern: String, _ text: String) throws -> [String] {
    let place = Configuration(value: .null, subject: "test", place: "pattern")
    let expression = try RegularExpression(pattern, at: place)
    var found: [String] = []
    let bytes = Array(text.utf8)
    try bytes.withUnsafeBufferPointer { (bytes) throws(Failure) in
      try expression.forEachMatch(in: bytes, RegularExpression.Workspace()) { start, end in
        found.append(String(decoding: bytes[start..<end], as: UTF8.self))
      }
    }
    return found
  }

  @Test(arguments: [
    (#"\s"#, "a\u{180E}b\u{85}c\u{1C}d\u{3000}", ["\u{85}", "\u{3000}"]),
    (#"[^\s]"#, "\u{180E} \u{85}", ["\u{180E}"]),
    (#"[^\S\n]"#, " \n\t", [" ", "\t"]),
    (#"\w+"#, "a² ④ e\u{301}_ ‿", ["a²", "e\u{301}_", "‿"]),
    (#"\h+"#, "xAf9 \t", ["Af9"]),
    (#"\v"#, "\n\u{B}", ["\u{B}"]),
    (#"^.|.$"#, "ab\ncd", ["a", "b", "c", "d"]),
    (#"\s+$"#, "a  \n b  c  ", ["  ", "  "]),
    (#"\s+$"#, "a \t\n\n b", [" \t\n"]),
    (#"(?i:'s|'k)"#, "'ſ 'S '\u{212A}", ["'ſ", "'S", "'\u{212A}"]),
    (#"a{,2}b"#, "aaab", ["aab"]),
    (#"\p{Han}"#, "、字", ["字"]),
    (#"x*"#, "axxb", ["", "xx", ""]),
    (#"{"#, "a{", ["{"]),
  ])
  func findsWhatOnigurumaFinds(_ pattern: String, _ text: String, _ expected: [String]) throws {
    let found = try Self.matches(pattern, text).map { Array($0.utf8) }
    #expect(found == expected.map { Array($0.utf8) })
  }

  @Test(arguments: [
    #"(?m)a"#, #"a(?i)b"#, #"(?<n>a)"#, #"\K"#, #"\G"#, #"\1"#, #"\pL"#, #"[[:alpha:]]"#, #"[]"#,
    #"[a"#,
    #"a{2}+"#, #"a{2}?"#, #"\xZZ"#, #"\x{D800}"#, #"\Q"#, #"[\W]"#, #"a\"#, #"\p{Klingon}"#,
  ])
  func refusesWhatItCannotTranslate(_ pattern: String) {
    #expect(throws: Failure.self) { try Self.matches(pattern, "a") }
  }
}
