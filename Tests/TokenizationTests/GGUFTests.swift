import Support
import Testing

@testable import Tokenization

/// Tokenizers out of GGUF key/values that are made up here.
@Suite struct GGUFTests {
  /// The key/values a converter would write for one of our tokenizer.json files.
  private static func metadata(_ name: String, pre: String) throws -> JSONObject {
    let file = try FileSystem.readJSON(Fixtures.own + "/\(name)/tokenizer.json")
    let vocab = try #require(file["model"]?["vocab"]?.object)
    let added = try #require(file["added_tokens"]?.array)
    var tokens = [JSONValue](repeating: .string(""), count: vocab.count + added.count)
    var types = [JSONValue](repeating: .integer(1), count: tokens.count)
    for (token, id) in vocab.members { tokens[try #require(id.integer)] = .string(token) }
    for token in added {
      let id = try #require(token["id"]?.integer)
      tokens[id] = .string(try #require(token["content"]?.string))
      types[id] = .integer(token["special"]?.bool == true ? 3 : 4)
    }
    let merges = try #require(file["model"]?["merges"]?.array).map { merge -> JSONValue in
      guard let pair = merge.array else { return merge }
      return .string(pair.compactMap(\.string).joined(separator: " "))
    }
    return [
      "tokenizer.ggml.model": .string("gpt2"), "tokenizer.ggml.pre": .string(pre),
      "tokenizer.ggml.tokens": .array(tokens), "tokenizer.ggml.token_type": .array(types),
      "tokenizer.ggml.merges": .array(merges),
    ]
  }

  @Test(arguments: [
    ("tiny-bpe", "qwen2"), ("tiny-qwen35", "qwen35"), ("tiny-llama3", "llama-bpe"),
    ("tiny-o200k", "gpt-4o"), ("tiny-deepseek3", "deepseek-v3"), ("tiny-granite", "refact"),
  ])
  func sameIDsAsTheFile(_ name: String, _ pre: String) throws {
    var metadata = try Self.metadata(name, pre: pre)
    if pre == "llama-bpe" || pre == "deepseek-v3" {
      metadata["tokenizer.ggml.add_bos_token"] = .bool(true)
      let bos = try #require(
        metadata["tokenizer.ggml.token_type"]?.array?.firstIndex(of: .integer(3)))
      metadata["tokenizer.ggml.bos_token_id"] = .integer(bos)
    }
    let json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: "test.gguf")
    #expect(json["model"]?["vocab"]?.object != nil)
    // What is written has to read back.
    let written = try JSONValue.parse(json.serialized(), subject: "written")
    let tokenizer = try Tokenizer(json: written, subject: "test.gguf")
    let expected = try FileSystem.readJSON(Fixtures.own + "/\(name)/expected.json")
    for item in try #require(expected["cases"]?.array) {
      let text = try #require(item["text"]?.string)
      let ids = item["ids"]?.array?.compactMap { $0.integer.map(Int32.init) } ?? []
      let special = item["ids_with_special"]?.array?.compactMap { $0.integer.map(Int32.init) }
      #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
      #expect(try tokenizer.encode(text, addSpecialTokens: true) == special ?? ids)
    }
  }

  /// Kimi's pattern keeps Han apart from other letters, and takes contractions to their word.
  @Test func kimisPattern() throws {
    let words = try PreTokenizer(
      Configuration(
        value: .object([
          "type": .string("Split"), "behavior": .string("Isolated"), "invert": .bool(false),
          "pattern": .object(["Regex": .string(try #require(Self.pattern("kimi-k2")))]),
        ]), subject: "test", place: "pre_tokenizer"))
    var text = Array("Hello世界foo don't ABCdef 12345 x\n\n é漢".utf8)
    let ranges = try words.words(&text, isStart: true, RegularExpression.Workspace())
    #expect(
      ranges.map { String(decoding: text[$0], as: UTF8.self) } == [
        "Hello", "世界", "foo", " don't", " ABCdef", " ", "123", "45", " x", "\n\n", " é", "漢",
      ])
  }

  private static func pattern(_ name: String) -> String? {
    guard case .split(let pattern)? = GGUFPatterns.named(name)?.steps.first else { return nil }
    return pattern
  }

  @Test func sentencePieceMergesFollowTheScores() throws {
    var tokens =
      ["<unk>", "<s>", "</s>"]
      + (0..<256).map { String(decoding: ByteFallback.spelling(UInt8($0)), as: UTF8.self) }
    var types = [2, 3, 3] + [Int](repeating: 6, count: 256)
    let pieces = ["▁", "a", "b", "c", "ab", "bc", "▁a", "e\u{301}", "é"]
    tokens += pieces
    types += pieces.map { _ in 1 }
    // "bc" scores above "ab": it is merged first though "ab" stands further left.
    let scores = [Double](repeating: 0, count: 259) + [0, 0, 0, 0, -2, -1, -3, 0, 0]
    var metadata: JSONObject = [
      "tokenizer.ggml.model": .string("llama"),
      "tokenizer.ggml.tokens": .array(tokens.map { .string($0) }),
      "tokenizer.ggml.token_type": .array(types.map { .integer($0) }),
      "tokenizer.ggml.scores": .array(scores.map { .number($0) }),
      "tokenizer.ggml.bos_token_id": .integer(1),
    ]
    let json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: "test.gguf")
    let tokenizer = try Tokenizer(json: json, subject: "test.gguf")
    func id(_ token: String) throws -> Int32 { try #require(tokenizer.id(of: token)) }
    #expect(try tokenizer.encode("abc") == [id("▁a"), id("bc")])
    #expect(try tokenizer.encode("ab", addSpecialTokens: true) == [1, id("▁"), id("ab")])
    #expect(try tokenizer.encode("x").count == 2)
    // The two spellings of é are different tokens.
    #expect(try tokenizer.encode("é") == [id("▁"), 267])
    let decoded = try tokenizer.decode(tokenizer.encode("abc é x"))
    #expect(Fixtures.identical(decoded, "abc é x"))
    metadata["tokenizer.ggml.scores"] = .array([.number(1)])
    #expect(throws: Failure.self) {
      try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: "test.gguf")
    }
  }

  @Test(arguments: [
    ("tokenizer.ggml.pre", JSONValue.string("klingon"), "klingon"),
    ("tokenizer.ggml.model", .string("rwkv"), "rwkv"),
    ("tokenizer.ggml.model", .integer(1), "string"),
    ("tokenizer.ggml.tokens", .array([]), "tokens"),
    ("tokenizer.ggml.tokens", .array([.integer(1)]), "no string"),
    ("tokenizer.ggml.token_type", .array([.integer(1)]), "types for"),
    ("tokenizer.ggml.merges", .string("a b"), "a list"),
    ("tokenizer.ggml.bos_token_id", .integer(1 << 40), "id of a token"),
    ("tokenizer.ggml.add_bos_token", .string("yes"), "true or false"),
  ])
  func refuses(_ key: String, _ value: JSONValue, _ reason: String) throws {
    var metadata = try Self.metadata("tiny-granite", pre: "refact")
    metadata["tokenizer.ggml.add_bos_token"] = .bool(true)
    metadata[key] = value
    let broken = metadata
    let error = #expect(throws: Failure.self) {
      try GGUFVocabulary.tokenizerJSON(metadata: broken, subject: "test.gguf")
    }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }
}
