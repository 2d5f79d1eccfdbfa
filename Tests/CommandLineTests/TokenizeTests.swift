import Support
import TestSupport
import Testing

@Suite struct TokenizeTests {
  private static let file = Fixtures.path("tokenizers/tiny-llama3/tokenizer.json")

  @Test func idsThereAndBack() throws {
    let expected = try FileSystem.readJSON(Fixtures.path("tokenizers/tiny-llama3/expected.json"))
    let directory = try TemporaryDirectory("tokenize")
    // A few dozen children are enough: the cases themselves are the library's tests.
    for item in (expected["cases"]?.array ?? []).prefix(240).enumerated().filter({
      $0.offset % 8 == 0
    }).map(\.element) {
      let text = try #require(item["text"]?.string)
      try directory.write(Array(text.utf8), to: "text")
      let result = try flashmoe(["tokenize", Self.file, "-f", directory.file("text"), "--json"])
      #expect(result.code == 0, "\(result.messages)")
      let document = try result.json()
      #expect(document["ids"] == item["ids"], "\(text.debugDescription)")
      #expect(document["ids_with_special"] == item["ids_with_special"])
      let ids = (item["ids"]?.array ?? []).compactMap(\.integer).map(String.init)
      let back = try flashmoe(
        ["detokenize", Self.file, "-f", "-"], input: ids.joined(separator: ","))
      #expect(
        back.output.utf8.elementsEqual((item["decoded"]?.string ?? "").utf8), "\(back.messages)")
    }
  }

  @Test func formsOfAskingAndAnswering() throws {
    let plain = try flashmoe(["tokenize", Self.file, "-p", "Hello world"])
    #expect(plain.code == 0 && plain.output.hasSuffix("\n") && plain.messages.isEmpty)
    let ids = plain.output.split(separator: "\n")[0].split(separator: ",").map(String.init)
    #expect(ids.count > 1)
    for arguments in [ids, [ids.joined(separator: ",")], ["[" + ids.joined(separator: ", ") + "]"]]
    {
      let back = try flashmoe(["detokenize", Self.file] + arguments)
      #expect(back.output == "Hello world", "\(back.messages)")
    }
    let stdin = try flashmoe(["tokenize", Self.file, "-f", "-"], input: "Hello world")
    #expect(stdin.output == plain.output)
    let special = try flashmoe(["tokenize", Self.file, "-p", "Hello world", "--add-special"])
    #expect(special.output.hasSuffix("," + plain.output))
    let bos = String(special.output.prefix { $0 != "," })
    let skipped = try flashmoe(["detokenize", Self.file, "--skip-special", bos, ids[0]])
    #expect(skipped.output == (try flashmoe(["detokenize", Self.file, ids[0]])).output)
    let pieces = try flashmoe(["tokenize", Self.file, "-p", "Hello world", "--pieces"])
    #expect(pieces.output.split(separator: "\n").count == ids.count)
    #expect(pieces.output.contains("\t\""))
    // A dash in front is text too, and no text has no tokens.
    #expect(try flashmoe(["tokenize", Self.file, "-p", "-x"]).code == 0)
    #expect(try flashmoe(["tokenize", Self.file, "-p", ""]).output == "\n")
    #expect(try flashmoe(["detokenize", Self.file, "-f", "-"], input: "\n").output == "")
  }

  @Test func everySourceOfAVocabulary() throws {
    let store = try TinyStore.exact()
    let wanted = try flashmoe(["tokenize", store, "-p", "Hello<|im_end|>"])
    #expect(wanted.code == 0, "\(wanted.messages)")
    for source in [TinyStore.checkpoint, TinyStore.checkpoint + "/tokenizer.json"] {
      #expect(try flashmoe(["tokenize", source, "-p", "Hello<|im_end|>"]).output == wanted.output)
    }
    let literal = try flashmoe(
      ["tokenize", store, "-p", "Hello<|im_end|>", "--no-parse-special"])
    #expect(literal.output.count > wanted.output.count)
  }

  /// llama.cpp's vocabularies and vectors, where present.
  @Test(arguments: [
    "deepseek-coder", "deepseek-llm", "gpt-2", "llama-spm", "phi-3", "refact", "starcoder",
  ])
  func ggufVocabularies(_ name: String) throws {
    guard let folder = Fixtures.shared("tokenizers/llama.cpp-vocab") else { return }
    let path = "\(folder)/ggml-vocab-\(name).gguf"
    let directory = try TemporaryDirectory("tokenize")
    let cases = try EncodingVectors.read(path)
    for (at, (text, ids)) in cases.enumerated() where at % 8 == 0 {
      try directory.write(Array(text.utf8), to: "text")
      let result = try flashmoe(["tokenize", path, "-f", directory.file("text")])
      #expect(
        result.output == ids.map(String.init).joined(separator: ",") + "\n",
        "\(text.debugDescription): \(result.messages)")
    }
  }

  @Test func mistakesAreTold() throws {
    let directory = try TemporaryDirectory("tokenize")
    for (arguments, code, piece) in [
      (["tokenize", Self.file], 64, "-p TEXT or -f FILE"),
      (["tokenize", Self.file, "-p", "a", "-f", "b"], 64, "only one"),
      (["tokenize"], 64, "store|tokenizer.json"),
      (["tokenize", directory.path, "-p", "a"], 1, "no tokenizer"),
      (["tokenize", directory.file("no.json"), "-p", "a"], 1, "no.json"),
      (["detokenize", Self.file], 64, "ids or -f FILE"),
      (["detokenize", Self.file, "x"], 64, "not a token id"),
      (["detokenize", Self.file, "999999999"], 1, "no token has the id"),
      (["detokenize", Self.file, "1", "-f", "x"], 64, "only one"),
    ] as [([String], Int32, String)] {
      let result = try flashmoe(arguments)
      #expect(result.code == code && result.output.isEmpty, "\(arguments): \(result.messages)")
      #expect(result.messages.contains(piece), "\(arguments): \(result.messages)")
    }
  }
}
