import Support
import Testing

@testable import Tokenization

/// Files the tests read: our own under `Tests/Fixtures`, and data of others where it is present.
enum Fixtures {
  static let packageRoot = String(
    #filePath.dropLast("/Tests/TokenizationTests/Fixtures.swift".count))
  static let own = packageRoot + "/Tests/Fixtures/tokenizers"
  static let tiny = [
    "tiny-bpe", "tiny-qwen35", "tiny-llama3", "tiny-o200k", "tiny-deepseek3", "tiny-granite",
  ]

  /// `shared/tokenizers/NAME` beside the package or one level up, or nil with a line that says so.
  static func shared(_ name: String) -> String? {
    for prefix in ["/..", "/../.."] {
      let path = packageRoot + prefix + "/shared/tokenizers/" + name
      if FileSystem.exists(path) { return path }
    }
    print("tokenizers/\(name) is not here: its vectors are not run")
    return nil
  }

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(contentsOf: own + "/" + name + "/tokenizer.json")
  }

  /// Runs every case of an expected.json and reports the first few that differ.
  static func check(_ directory: String) throws {
    let tokenizer = try Tokenizer(contentsOf: directory + "/tokenizer.json")
    let expected = try FileSystem.readJSON(directory + "/expected.json")
    #expect(tokenizer.vocabularySize == expected["vocab_size"]?.integer)
    let cases = try #require(expected["cases"]?.array)
    #expect(cases.count > 200)
    var reported = 0
    for item in cases {
      let text = try #require(item["text"]?.string)
      let ids = try #require(item["ids"]?.array).compactMap { $0.integer.map(Int32.init) }
      let withSpecial = item["ids_with_special"]?.array?.compactMap { $0.integer.map(Int32.init) }
      let plain = item["decoded_without_special"]?.string ?? item["decoded"]?.string
      let same =
        try tokenizer.encode(text) == ids
        && tokenizer.encode(text, addSpecialTokens: true) == withSpecial ?? ids
        && identical(tokenizer.decode(ids), item["decoded"]?.string)
        && identical(tokenizer.decode(ids, skipSpecialTokens: true), plain)
      if !same, reported < 5 {
        reported += 1
        let got = try tokenizer.encode(text)
        let decoded = try tokenizer.decode(ids)
        Issue.record(
          "\(text.debugDescription): \(got) instead of \(ids), \(decoded.debugDescription)")
      }
    }
  }

  /// Equal by bytes: `==` on strings takes composed and decomposed characters for the same.
  static func identical(_ left: String?, _ right: String?) -> Bool {
    guard let left, let right else { return left == nil && right == nil }
    return left.utf8.elementsEqual(right.utf8)
  }
}
