import Support
import Testing

@testable import Tokenization

/// Files that lie, and texts that would take forever.
@Suite struct HostileTests {
  private static func document(
    vocab: String = #"{"a": 0, "b": 1, "ab": 2}"#, merges: String = #"["a b"]"#, model: String = "",
    rest: String = ""
  ) -> String {
    #"{"version": "1.0", "model": {"type": "BPE"\#(model), "vocab": \#(vocab), "#
      + #""merges": \#(merges)}\#(rest)}"#
  }

  /// Reads the text as a file and as a parsed document; both have to come to the same end.
  private static func load(_ text: String) throws -> Tokenizer {
    let path = "/tmp/tokenizer-\(UInt64.random(in: 0 ... .max)).json"
    try FileSystem.writeAtomically(Array(text.utf8), to: path)
    defer { try? FileSystem.remove(path) }
    return try Tokenizer(contentsOf: path)
  }

  private static func failure(_ body: () throws -> Tokenizer) -> Failure? {
    do {
      _ = try body()
      return nil
    } catch { return error as? Failure }
  }

  @Test func theBaseIsFine() throws {
    #expect(try Self.load(Self.document()).encode("abba") == [2, 1, 0])
    #expect(try Self.load(Self.document(vocab: #"["a", "b", "ab"]"#)).encode("ab") == [2])
    // Escapes, and merges before the vocabulary.
    let text = #"{"model": {"merges": [["\u0061", "b"]], "vocab": {"\u0061": 0, "b": 1, "ab": 2}}}"#
    #expect(try Self.load(text).encode("ab") == [2])
  }

  @Test(arguments: [
    (document(vocab: #"{"a": 0, "b": 0, "ab": 2}"#), "the id 0 stands twice"),
    (document(vocab: #"{"a": 0, "b": 1, "ab": 2, "a": 3}"#), "stands twice"),
    (document(vocab: #"{"a": -1, "b": 1, "ab": 2}"#), "out of range"),
    (document(vocab: #"{"a": 16777215, "b": 1, "ab": 2}"#), "out of range"),
    (document(vocab: #"{"a": 99999999999999999999, "b": 1, "ab": 2}"#), "no integer"),
    (document(vocab: #"{"a": 0.5, "b": 1, "ab": 2}"#), "no integer"),
    (document(vocab: #"{"a": "0", "b": 1, "ab": 2}"#), "no integer"),
    (document(vocab: "7"), "a list is expected"),
    (document(merges: #"["a c"]"#), "\"c\" is not in the vocabulary"),
    (document(merges: #"["b a"]"#), "\"ba\" is not in the vocabulary"),
    (document(merges: #"["ab"]"#), "two tokens"),
    (document(merges: #"["a b b"]"#), "two tokens"),
    (document(merges: #"[["a"]]"#), "two tokens"),
    (document(merges: #"[3]"#), "expected"),
    (document(merges: #"{}"#), "a list is expected"),
    (document(model: #", "dropout": 0.1"#), "dropout"),
    (document(model: #", "unk_token": "?""#), "unknown token"),
    (document(model: #", "end_of_word_suffix": "</w>""#), "end_of_word_suffix"),
    (document(model: #", "fuse_unk": 1"#), "true or false"),
    (#"{"model": {"type": "Unigram", "vocab": {}, "merges": []}}"#, "\"Unigram\""),
    (#"{"model": {"vocab": {}}}"#, "\"merges\" is missing"),
    (#"{}"#, "\"model\" is missing"),
    (#"[]"#, "an object is expected"),
    (#"{"model": {"vocab": {"a": 0"#, "not valid JSON"),
    (#"{"model": {"vocab": {"a": 0}, "merges": []}} x"#, "not valid JSON"),
    (#"{"model": {"vocab": {"a\qb": 0}, "merges": []}}"#, "not valid JSON"),
    (#"{"model": {"vocab": {"a": 0}, "merges": []}, "model": {}}"#, "twice"),
    (document(rest: #", "normalizer": {"type": "NFKC"}"#), "\"NFKC\""),
    (
      document(
        rest: #", "normalizer": {"type": "Replace", "pattern": {"String": ""}, "content": "x"}"#),
      "empty"
    ),
    (document(rest: #", "pre_tokenizer": {"type": "Whitespace"}"#), "\"Whitespace\""),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated"}"#
      ), "does not compile"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a{9999}{9999}"}, "behavior": "Isolated"}"#
      ), "does not compile"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(*UCP)a"}, "behavior": "Isolated"}"#
      ), "(*"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated"}"#
      ), "escape"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "[a&&b]"}, "behavior": "Isolated"}"#
      ), "&&"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Sideways"}"#
      ), "Sideways"
    ),
    (
      document(
        rest:
          #", "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]}"#
      ), "after ByteLevel"
    ),
    (document(rest: #", "decoder": {"type": "WordPiece"}"#), "\"WordPiece\""),
    (document(rest: #", "post_processor": {"type": "BertProcessing"}"#), "\"BertProcessing\""),
    (
      document(
        rest:
          #", "post_processor": {"type": "TemplateProcessing", "single": [], "special_tokens": {}}"#
      ), "does not hold the text"
    ),
    (document(rest: #", "added_tokens": [{"id": 1, "content": "x"}]"#), "belongs to another"),
    (document(rest: #", "added_tokens": [{"id": 5, "content": "a"}]"#), "elsewhere"),
    (document(rest: #", "added_tokens": [{"id": 9999999, "content": "x"}]"#), "out of range"),
    (document(rest: #", "added_tokens": [{"content": "x"}]"#), "\"id\" is missing"),
    (document(rest: #", "added_tokens": {}"#), "a list is expected"),
  ])
  func refuses(_ text: String, _ reason: String) {
    let failure = Self.failure { try Self.load(text) }
    #expect(failure?.description.contains(reason) == true, "\(failure?.description ?? "accepted")")
  }

  @Test func deepNestingIsRefused() {
    let open = String(repeating: #"{"type": "Sequence", "normalizers": ["#, count: 40)
    let close = String(repeating: "]}", count: 40)
    let text = Self.document(rest: #", "normalizer": \#(open)\#(close)"#)
    #expect(Self.failure { try Self.load(text) }?.kind == .malformed)
    let brackets = #"{"x": "# + String(repeating: "[", count: 100_000)
    #expect(Self.failure { try Self.load(brackets) }?.kind == .malformed)
  }

  @Test func unknownIDsAreErrors() throws {
    let tokenizer = try Self.load(Self.document())
    for id: Int32 in [-1, 3, .max, .min] {
      #expect(throws: Failure.self) { try tokenizer.decode([id]) }
      #expect(tokenizer.token(of: id) == nil)
      #expect(!tokenizer.isSpecial(id))
    }
    #expect(throws: Failure.self) { try tokenizer.encode("c") }
  }

  @Test func endlessBacktrackingEnds() throws {
    let split =
      #", "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(a|a|b?a)+[c-z]"}, "behavior": "Isolated"}"#
    let tokenizer = try Self.load(Self.document(rest: split))
    #expect(throws: Failure.self) { try tokenizer.encode(String(repeating: "a", count: 2000)) }
  }

  @Test func longRunsAreNotQuadratic() throws {
    for name in ["tiny-bpe", "tiny-o200k", "tiny-deepseek3", "tiny-granite"] {
      let tokenizer = try Fixtures.tokenizer(name)
      for unit in ["a", " ", "\n", "字", "e\u{301}\u{323}", "ab ", "<|im_sta"] {
        let text = String(repeating: unit, count: 200_000 / unit.utf8.count)
        #expect(try tokenizer.encode(text).count > 100)
      }
      // A run of marks has to be sorted as one.
      #expect(
        try tokenizer.encode("a" + String(repeating: "\u{323}\u{301}", count: 50_000)).count > 100)
    }
  }

  @Test func mutatedFilesNeverCrash() throws {
    let base = try FileSystem.readJSON(Fixtures.own + "/constructs.json")
    let original = Array(try #require(base["spm"]).serialized().utf8)
    let interesting = Array(#"{}[]":,\0123456789-eE.nulltruefalse "#.utf8) + [0, 0x80, 0xC3, 0xFF]
    var random = Random(seed: 21)
    var accepted = 0
    for _ in 0..<3000 {
      var bytes = original
      for _ in 0...random.next() % 4 {
        let at = Int(random.next() % UInt64(bytes.count))
        switch random.next() % 5 {
        case 0: bytes[at] = interesting[Int(random.next() % UInt64(interesting.count))]
        case 1: bytes.remove(at: at)
        case 2: bytes.insert(interesting[Int(random.next() % UInt64(interesting.count))], at: at)
        case 3: bytes.removeSubrange(at..<min(bytes.count, at + Int(random.next() % 64)))
        default:
          let from = Int(random.next() % UInt64(bytes.count))
          bytes.insert(contentsOf: bytes[from..<min(bytes.count, from + 32)], at: at)
        }
      }
      do throws(Failure) {
        let file = try TokenizerFile(bytes, subject: "mutated")
        let tokenizer = try Tokenizer(file)
        accepted += 1
        if let ids = try? tokenizer.encode("hello <s>é字😀 ab") { _ = try? tokenizer.decode(ids) }
      } catch {
        #expect(!error.problem.isEmpty)
      }
    }
    #expect(accepted > 100)
  }
}
