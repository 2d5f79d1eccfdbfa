import Support
import TestSupport
import Testing

@Suite struct JSONParserTests {
  private static func parse(_ text: String) throws -> JSONValue {
    try JSONValue.parse(text, subject: "x.json")
  }

  @Test(arguments: [
    ("null", JSONValue.null), ("true", .bool(true)), (" false\n", .bool(false)),
    ("0", .integer(0)), ("-0", .integer(0)), ("42", .integer(42)), ("-7", .integer(-7)),
    ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
    ("9223372036854775808", .number(0x1p63)), ("0.5", .number(0.5)), ("-1.25e2", .number(-125)),
    ("1E+2", .number(100)), ("1e-2", .number(0.01)), ("1.0", .number(1)),
    ("5e-324", .number(.leastNonzeroMagnitude)),
    ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)),
    (#""""#, .string("")), (#""a\"\\\/\b\f\n\r\tz""#, .string("a\"\\/\u{8}\u{C}\n\r\tz")),
    (#""\u0041\u00e9\u20AC\uD83D\uDE42""#, .string("Aé€🙂")), (#""é🙂\u0000""#, .string("é🙂\0")),
    (#""\uD83D""#, .string("\u{FFFD}")), (#""\uDE42x""#, .string("\u{FFFD}x")),
    (#""\uD83D\uD83D\uDE42""#, .string("\u{FFFD}🙂")), (#""\uD83Da""#, .string("\u{FFFD}a")),
    (#""\uD83D\n""#, .string("\u{FFFD}\n")),
    ("[]", .array([])), ("[ 1 , [2] ]", .array([.integer(1), .array([.integer(2)])])),
    ("{}", .object([:])), ("{ \"a\" : { } }", .object(["a": .object([:])])),
    ("\u{FEFF}1", .integer(1)),
  ])
  func reads(text: String, value: JSONValue) throws {
    #expect(try Self.parse(text) == value)
  }

  @Test(arguments: [
    "", " ", "nul", "nulll", "True", "+1", "01", "-01", "-", ".5", "1.", "1.e2", "1e", "1e+", "0x1",
    "1 2", "NaN", "Infinity", "1e400", "-1e999", "[", "[1", "[1,", "[1,]", "[,]", "]", "{",
    "{\"a\"",
    "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\u\"", "\"\\uD83D\\u12\"",
    "\"\n\"",
    "\"\u{1}\"", "\"\\n\u{1}\"", "'a'", "//", "[1]]", "{}{}", "\"a\" \"b\"", "1\u{A0}", "\u{FEFF}",
    "[1;2]",
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
  ])
  func refuses(text: String) {
    #expect(complaint(text, .malformed, ["x.json", "byte"]) { _ = try Self.parse(text) } == nil)
  }

  /// RFC 3629: overlong forms, surrogates, beyond U+10FFFF, cut sequences, stray continuation.
  @Test(
    arguments: [
      [0xFF], [0xC0, 0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
      [0xC3],
      [0x80], [0xE2, 0x82],
    ] as [[UInt8]])
  func refusesBadUTF8(sequence: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    for text in [[quote] + sequence + [quote], [quote] + Array("\\n".utf8) + sequence + [quote]] {
      #expect(
        complaint("\(text)", .malformed, ["x.json", "UTF-8"]) {
          _ = try JSONValue.parse(text, subject: "x.json")
        } == nil)
    }
  }

  @Test func limitsNesting() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try Self.parse(nested(128))
    #expect(complaint("", .malformed, ["deep"]) { _ = try Self.parse(nested(129)) } == nil)
    let unclosed = String(repeating: "{\"a\":[", count: 1_000_000)
    #expect(complaint("", .malformed, ["deep"]) { _ = try Self.parse(unclosed) } == nil)
  }

  @Test func keepsOrderAndFindsMembersOfLargeObjects() throws {
    let keys = (0..<5000).map { "key-\(($0 * 7919) % 5000)" }
    let text = "{" + keys.enumerated().map { "\"\($1)\":\($0)" }.joined(separator: ",") + "}"
    let object = try #require(try Self.parse(text).object)
    #expect(object.keys == keys)
    #expect(keys.indices.allSatisfy { object[keys[$0]] == .integer($0) })
    #expect(object["key-5000"] == nil)
    let twice = text.dropLast() + ",\"key-17\":0}"
    #expect(
      complaint("", .malformed, ["key-17", "twice"]) { _ = try Self.parse(String(twice)) } == nil)
  }

  /// Vocabularies hold both spellings of a letter with an accent as different tokens.
  @Test func canonicallyEquivalentKeysAreDifferent() throws {
    for filler in [0, 40] {
      let more = (0..<filler).map { ",\"\($0)\":0" }.joined()
      let object = try #require(
        try Self.parse("{\"\u{E9}\":1,\"e\u{301}\":2\(more)}").object)
      #expect(object.count == 2 + filler)
      #expect(object["\u{E9}"] == .integer(1))
      #expect(object["e\u{301}"] == .integer(2))
    }
    #expect(JSONValue.string("\u{E9}") != .string("e\u{301}"))
    #expect(JSONValue.object(["\u{E9}": .null]) != .object(["e\u{301}": .null]))
  }

  @Test func everyTruncationOfADocumentIsRefused() throws {
    let text = Array(#"{"a":[1,-2.5e3,"x\u00e9\n"],"b":{"c":null,"d":true}}"#.utf8)
    _ = try JSONValue.parse(text, subject: "x.json")
    for length in 0..<text.count {
      #expect(
        complaint("\(length)", .malformed, ["x.json"]) {
          _ = try JSONValue.parse(Array(text.prefix(length)), subject: "x.json")
        } == nil)
    }
  }

  @Test func fuzz() throws {
    let seeds = [
      #"{"a":[1,-2.5e3,"x\u00e9\uD83D\uDE42\n"],"b":{"c":null,"d":true,"e":false}}"#,
      #"[0,-0,1e5,123456789012345678901234567890,{"é":"é"}]"#, #""text \\ \" \/""#,
    ].map { Array($0.utf8) }
    var fuzzer = Fuzzer(
      "json", seeds: seeds,
      dictionary: [
        "\\u", "\\uD83D", "{", "}", "[", "]", ":", ",", "\"", "null", "true", "1e", "é", "\u{FEFF}",
      ])
    let outcome = try fuzzer.run(iterations: 20_000) { bytes in
      let value = try JSONValue.parse(bytes, subject: "x.json")
      for pretty in [false, true] {
        let again = try JSONValue.parse(value.serialized(pretty: pretty), subject: "written")
        try #require(again == value)
      }
    }
    #expect(outcome.accepted > 500 && outcome.refused > 5000)
  }
}
