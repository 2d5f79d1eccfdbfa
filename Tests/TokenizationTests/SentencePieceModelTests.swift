import Support
import TestSupport
import Testing

@testable import Tokenization

/// `tokenizer.model` files that are written here.
@Suite struct SentencePieceModelTests {
  struct Model {
    var pieces: [(text: String, score: Float, kind: Int)] = []
    var type = 2
    var bos = 1
    var eos = 2
    var addsPrefix = true
    var removesSpaces = false
    var map: [UInt8] = []

    private static func varint(_ value: UInt64) -> [UInt8] {
      var bytes: [UInt8] = []
      var rest = value
      while rest > 0x7F {
        bytes.append(UInt8(rest & 0x7F) | 0x80)
        rest >>= 7
      }
      return bytes + [UInt8(rest)]
    }

    private static func integer(_ number: UInt64, _ value: Int) -> [UInt8] {
      varint(number << 3) + varint(UInt64(bitPattern: Int64(value)))
    }

    private static func bytes(_ number: UInt64, _ value: [UInt8]) -> [UInt8] {
      varint(number << 3 | 2) + varint(UInt64(value.count)) + value
    }

    var encoded: [UInt8] {
      var file: [UInt8] = []
      for piece in pieces {
        let bits = piece.score.bitPattern
        let score = (0..<4).map { UInt8(truncatingIfNeeded: bits >> (8 * UInt32($0))) }
        var body = Self.bytes(1, Array(piece.text.utf8)) + [2 << 3 | 5] + score
        if piece.kind != 1 { body += Self.integer(3, piece.kind) }
        file += Self.bytes(1, body)
      }
      file += Self.bytes(
        2,
        Self.integer(3, type) + Self.integer(40, 0) + Self.integer(41, bos)
          + Self.integer(42, eos))
      file += Self.bytes(
        3,
        Self.bytes(1, Array("identity".utf8)) + Self.bytes(2, map)
          + Self.integer(3, addsPrefix ? 1 : 0) + Self.integer(4, removesSpaces ? 1 : 0))
      // A field from the future, as other versions write them.
      return file + Self.integer(99, 7) + [98 << 3 & 0x7F | 1 | 0x80, 6]
        + [UInt8](repeating: 0, count: 8)
    }

    static var small: Model {
      var model = Model()
      model.pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)]
      for byte in 0..<256 {
        model.pieces.append(
          (String(decoding: ByteFallback.spelling(UInt8(byte)), as: UTF8.self), 0, 6))
      }
      for (at, piece) in ["▁", "a", "b", "c", "bc", "ab", "▁a"].enumerated() {
        model.pieces.append((piece, Float(-at), 1))
      }
      return model
    }
  }

  private static func tokenizer(_ model: Model, _ configuration: JSONValue = .null) throws
    -> Tokenizer
  {
    let json = try SentencePieceModel.tokenizerJSON(
      model.encoded, configuration: configuration, subject: "tokenizer.model")
    return try Tokenizer(json: json, subject: "tokenizer.model")
  }

  @Test func encodesAndDecodes() throws {
    let tokenizer = try Self.tokenizer(.small)
    func id(_ token: String) throws -> Int32 { try #require(tokenizer.id(of: token)) }
    #expect(try tokenizer.encode("abc") == [id("▁a"), id("bc")])
    #expect(try tokenizer.encode("ab", addSpecialTokens: true) == [1, id("▁"), id("ab")])
    #expect(try tokenizer.encode("</s>é") == [2, id("▁"), id("<0xC3>"), id("<0xA9>")])
    #expect(try tokenizer.decode(tokenizer.encode("abc é")) == "abc é")
    var plain = Model.small
    plain.addsPrefix = false
    #expect(try Self.tokenizer(plain).encode("bc") == [id("bc")])
  }

  @Test func theConfigurationHasItsSay() throws {
    let configuration = try JSONValue.parse(
      #"""
      {"add_bos_token": false, "add_eos_token": true, "eos_token": {"content": "<|end|>"},
       "added_tokens_decoder": {
        "0": {"content": "<unk>", "special": true}, "2": {"content": "<other>", "special": true},
        "266": {"content": "<|end|>", "special": true, "rstrip": true},
        "267": {"content": "<note>", "special": false}, "x": {"content": "y"}}}
      """#, subject: "tokenizer_config.json")
    let tokenizer = try Self.tokenizer(.small, configuration)
    #expect(try tokenizer.encode("<|end|> <note>") == [266, 267])
    #expect(tokenizer.isSpecial(266) && !tokenizer.isSpecial(267))
    #expect(tokenizer.id(of: "<other>") == nil)
    let ids = try tokenizer.encode("a", addSpecialTokens: true)
    #expect(ids.first == tokenizer.id(of: "▁a") && ids.last == 2)
  }

  @Test func whatIsElseIsRefused() throws {
    var unigram = Model.small
    unigram.type = 1
    var mapped = Model.small
    mapped.map = [1, 2, 3]
    var squeezed = Model.small
    squeezed.removesSpaces = true
    for (model, piece) in [(unigram, "unigram"), (mapped, "changes"), (squeezed, "changes")] {
      #expect(
        complaint(piece, .unsupported, ["tokenizer.model", piece, "tokenizer.json"]) {
          _ = try Self.tokenizer(model)
        } == nil)
    }
    for bytes in [[], [0], [0x0A], [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x08, 0x80]] as [[UInt8]]
    {
      #expect(throws: Failure.self) {
        try SentencePieceModel.tokenizerJSON(bytes, subject: "tokenizer.model")
      }
    }
  }

  @Test func mutatedFilesNeverCrash() throws {
    var fuzzer = Fuzzer("sentencepiece", seeds: [Model.small.encoded], seed: 5)
    _ = try fuzzer.run(iterations: 2000) { bytes in
      let json = try SentencePieceModel.tokenizerJSON(bytes, subject: "fuzz")
      let tokenizer = try Tokenizer(json: json, subject: "fuzz")
      _ = try tokenizer.encode("abc é <s>")
    }
  }

  /// A full vocabulary, written as its own tokenizer.model would be.
  @Test(arguments: ["llama-spm", "phi-3"]) func realVocabulary(_ name: String) throws {
    guard let path = Fixtures.shared("real/" + name) else { return }
    let file = try FileSystem.readJSON(path + "/tokenizer.json")
    let expected = try FileSystem.readJSON(path + "/expected.json")
    let vocab = try #require(file["model"]?["vocab"]?.object)
    var model = Model()
    let size = vocab.count
    model.pieces = Array(repeating: ("", 0, 1), count: size)
    // The earlier a piece is merged, the higher its score was.
    var scores: [String: Int] = [:]
    for (at, merge) in (file["model"]?["merges"]?.array ?? []).enumerated() {
      let piece =
        merge.string?.replacing(" ", with: "") ?? merge.array?.compactMap(\.string).joined()
      if let piece, scores[piece] == nil { scores[piece] = -at }
    }
    let known = Set((file["added_tokens"]?.array ?? []).compactMap { $0["id"]?.integer })
    for (token, id) in vocab.members {
      let id = try #require(id.integer)
      let kind = id == 0 ? 2 : id < 3 && known.contains(id) ? 3 : id < 259 && id > 2 ? 6 : 1
      model.pieces[id] = (token, Float(scores[token] ?? 0), kind)
    }
    // Added tokens stand in tokenizer_config.json.
    var decoder = JSONObject()
    for token in file["added_tokens"]?.array ?? [] {
      let id = try #require(token["id"]?.integer)
      decoder["\(id)"] = token
      // What is in the vocabulary itself keeps its own flags.
      if id < size, id > 2 { model.pieces[id].kind = 5 }
    }
    let tokenizer = try Self.tokenizer(
      model, .object(["added_tokens_decoder": .object(decoder), "add_bos_token": .bool(true)]))
    var different = 0
    for item in expected["cases"]?.array ?? [] {
      let text = try #require(item["text"]?.string)
      let ids = item["ids"]?.array?.compactMap { $0.integer.map(Int32.init) } ?? []
      if try tokenizer.encode(text) != ids { different += 1 }
      #expect(try Fixtures.identical(tokenizer.decode(ids), item["decoded"]?.string))
    }
    #expect(different == 0)
  }
}
