import Support
import Testing

@testable import Tokenization

/// Every case of expected.json, whose values come from the `tokenizers` library.
@Suite struct ExpectedTests {
  @Test(arguments: Fixtures.tiny) func tinyVocabulary(_ name: String) throws {
    try Fixtures.check(Fixtures.own + "/" + name)
  }

  @Test(arguments: [
    "gpt-2", "deepseek-llm", "deepseek-coder", "llama-bpe", "llama-spm", "phi-3", "spm-metaspace",
  ])
  func realVocabulary(_ name: String) throws {
    guard let path = Fixtures.shared("real/" + name) else { return }
    try Fixtures.check(path)
  }

  @Test(arguments: ["gpt-2", "deepseek-llm", "deepseek-coder", "llama-bpe", "llama-spm", "phi-3"])
  func llamaVectors(_ name: String) throws {
    guard let path = Fixtures.shared("real/" + name),
      let vectors = Fixtures.shared("llama.cpp-vocab")
    else { return }
    let tokenizer = try Tokenizer(contentsOf: path + "/tokenizer.json")
    try checkVectors(tokenizer, vectors + "/ggml-vocab-\(name).gguf")
  }

  private func checkVectors(_ tokenizer: Tokenizer, _ base: String) throws {
    let input = try FileSystem.readText(base + ".inp")
    let output = try FileSystem.readText(base + ".out")
    let texts = Self.parts(Array(input.utf8), "\n__ggml_vocab_test__\n")
    let lines = output.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(texts.count > 40 && lines.count >= texts.count)
    for (text, line) in zip(texts, lines) {
      #expect(try tokenizer.encode(text) == line.split(separator: " ").compactMap { Int32($0) })
    }
  }

  /// Splits by bytes: to `String`, a carriage return and the line feed behind it are one character.
  private static func parts(_ bytes: [UInt8], _ separator: String) -> [String] {
    let wanted = Array(separator.utf8)
    var parts: [String] = []
    var start = 0
    var at = 0
    while at < bytes.count {
      if bytes[at...].starts(with: wanted) {
        parts.append(String(decoding: bytes[start..<at], as: UTF8.self))
        at += wanted.count
        start = at
      } else {
        at += 1
      }
    }
    return parts + [String(decoding: bytes[start...], as: UTF8.self)]
  }
}
