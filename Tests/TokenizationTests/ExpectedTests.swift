import Support
import TestSupport
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
    for (text, ids) in try EncodingVectors.read(vectors + "/ggml-vocab-\(name).gguf") {
      #expect(try tokenizer.encode(text) == ids)
    }
  }
}
