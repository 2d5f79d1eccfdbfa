import Support
import Testing

@testable import Tokenization

@Suite struct PlainSpecialTokenTests {
  /// Special tokens around given places are ordinary text, all others count.
  @Test func offsetsSayWhichArePlain() throws {
    let tokenizer = try Fixtures.tokenizer("tiny-bpe")
    let end = try #require(tokenizer.id(of: "<|im_end|>"))
    let text = "a<|im_end|>b<|im_end|>"
    #expect(tokenizer.specialTokenRanges(in: text) == [1..<11, 12..<22])
    func count(_ offsets: [Int]) throws -> Int {
      let ids = try tokenizer.encode(text, plainOffsets: offsets)
      #expect(try tokenizer.decode(ids) == text)
      return ids.filter { $0 == end }.count
    }
    #expect(try count([]) == 2)
    #expect(try count([2]) == 1)
    #expect(try count([10]) == 1)
    #expect(try count([2, 13]) == 0)
    // Places outside of tokens, or at their edges, change nothing.
    #expect(try count([0, 1, 11, 12, 22]) == 2)
    let first = try tokenizer.encode("a<|im_end|>b", parseSpecial: false)
    #expect(try tokenizer.encode(text, plainOffsets: [2]) == first + [end])
  }

  @Test func continuations() throws {
    #expect(try Fixtures.tokenizer("tiny-bpe").canContinue(with: "x"))
    guard let path = Fixtures.shared("real/llama-spm") else { return }
    let tokenizer = try Tokenizer(contentsOf: path + "/tokenizer.json")
    #expect(tokenizer.canContinue(with: "</s>x"))
    #expect(!tokenizer.canContinue(with: "x"))
  }

  /// tokenizer_config.json adds tokens that tokenizer.json leaves out, and overrides none.
  @Test func theConfigurationAddsTokens() throws {
    let path = Fixtures.own + "/tiny-bpe/tokenizer.json"
    let plain = try Fixtures.tokenizer("tiny-bpe")
    let next = plain.vocabularySize
    let configuration = JSONValue.object([
      "added_tokens_decoder": .object([
        "\(next)": .object(["content": .string("<tool>"), "special": .bool(true)]),
        "5": .object(["content": .string("<clash>"), "special": .bool(true)]),
        "\(next + 1)": .object(["content": .string("<|im_end|>"), "special": .bool(true)]),
      ])
    ])
    let tokenizer = try Tokenizer(
      bytes: try FileSystem.readBytes(path), subject: path, configuration: configuration)
    #expect(try tokenizer.encode("<tool>") == [Int32(next)])
    #expect(try tokenizer.encode("<clash>") == plain.encode("<clash>"))
    #expect(tokenizer.id(of: "<|im_end|>") == plain.id(of: "<|im_end|>"))
    #expect(tokenizer.vocabularySize == next + 1)
  }
}
