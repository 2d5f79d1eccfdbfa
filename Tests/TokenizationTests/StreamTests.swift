import Support
import Testing

@testable import Tokenization

@Suite struct StreamTests {
  /// The pieces of a stream make up the text of all ids, and no piece ends within a character.
  static func checkStream(_ tokenizer: Tokenizer, _ ids: [Int32]) throws {
    for skips in [false, true] {
      var stream = StreamDecoder(tokenizer, skipSpecialTokens: skips)
      var pieces: [String] = []
      for id in ids { pieces.append(try stream.append(id)) }
      pieces.append(stream.finish())
      let whole = try tokenizer.decode(ids, skipSpecialTokens: skips)
      #expect(pieces.flatMap { Array($0.utf8) } == Array(whole.utf8), "\(ids)")
    }
  }

  @Test(arguments: Fixtures.tiny) func piecesMakeTheWhole(_ name: String) throws {
    let tokenizer = try Fixtures.tokenizer(name)
    var random = Random(seed: 3)
    for _ in 0..<400 {
      let count = Int(random.next() % 24)
      let ids = (0..<count).map { _ in
        // Low ids are single bytes: they make broken and cut UTF-8 likely.
        Int32(random.next() % (random.next() % 2 == 0 ? 256 : UInt64(tokenizer.vocabularySize)))
      }
      try Self.checkStream(tokenizer, ids)
    }
  }

  @Test func textWaitsForItsLastByte() throws {
    let tokenizer = try Fixtures.tokenizer("tiny-bpe")
    let bytes = try Array("😀".utf8).map { byte in
      try #require(tokenizer.id(of: String(UnicodeScalar(UInt32(ByteAlphabet.codes[Int(byte)]))!)))
    }
    var stream = StreamDecoder(tokenizer)
    for id in bytes.dropLast() { #expect(try stream.append(id) == "") }
    #expect(try stream.append(bytes[3]) == "😀")
    #expect(stream.finish() == "")
    for id in bytes.dropLast() { _ = try stream.append(id) }
    #expect(stream.finish() == "\u{FFFD}")
  }

  @Test func repairsAsTheWholeWould() {
    var random = Random(seed: 5)
    let leads: [UInt8] = [
      0x41, 0x80, 0xBF, 0xC1, 0xC3, 0xE0, 0xA0, 0xED, 0x9F, 0xF0, 0x90, 0xF4, 0x8F, 0xF5,
    ]
    for _ in 0..<20_000 {
      let bytes = (0..<8).map { _ in leads[Int(random.next() % UInt64(leads.count))] }
      var assembler = UTF8Assembler()
      var text = ""
      for byte in bytes { text += assembler.append([byte]) }
      text += assembler.finish()
      #expect(Array(text.utf8) == Array(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
    }
  }

  @Test func randomTextComesBack() throws {
    // tiny-llama3 has no normalizer: every text has to come back byte for byte.
    let tokenizer = try Fixtures.tokenizer("tiny-llama3")
    let composing = try Fixtures.tokenizer("tiny-bpe")
    var random = Random(seed: 9)
    for _ in 0..<500 {
      var text = String.UnicodeScalarView()
      for _ in 0..<random.next() % 40 {
        let bound: UInt64 = [0x80, 0x800, 0x3000, 0x11_0000][Int(random.next() % 4)]
        if let scalar = Unicode.Scalar(UInt32(random.next() % bound)) { text.append(scalar) }
      }
      let string = String(text)
      let back = try tokenizer.decode(tokenizer.encode(string))
      #expect(Fixtures.identical(back, string), "\(string.debugDescription)")
      // Composed text is canonically the same, and composing it again changes nothing.
      let composed = try composing.decode(composing.encode(string))
      #expect(try Fixtures.identical(composing.decode(composing.encode(composed)), composed))
    }
  }
}

/// SplitMix64: the same numbers everywhere.
struct Random: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
