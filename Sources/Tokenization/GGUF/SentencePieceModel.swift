import Support

/// A `tokenizer.model` of SentencePiece: pieces with scores and kinds, in protocol buffers.
///
/// Its content is turned into what a GGUF file would hold, and from there into tokenizer.json.
public enum SentencePieceModel {
  /// - Parameters:
  ///   - bytes: the file.
  ///   - configuration: tokenizer_config.json: `add_bos_token`, `add_eos_token`, the special tokens
  ///     and `added_tokens_decoder`.
  ///   - subject: the file's name, for error messages.
  /// - Throws: `Failure(.unsupported)` for anything but byte-pair encoding of text as it is,
  ///   `.malformed` for a file that is none.
  public static func tokenizerJSON(
    _ bytes: [UInt8], configuration: JSONValue = .null, subject: String
  ) throws(Failure) -> JSONValue {
    let file = try read(bytes, subject)
    guard file.modelType == 2 else {
      let names = [1: "unigram", 3: "word", 4: "char"]
      throw Failure(
        .unsupported, subject,
        "a \(names[file.modelType] ?? "strange") model; only byte-pair encoding is supported",
        remedy: "Use the model's tokenizer.json")
    }
    guard !file.hasCharacterMap, !file.removesSpaces else {
      throw Failure(
        .unsupported, subject, "it changes characters or spaces before encoding",
        remedy: "Use the model's tokenizer.json")
    }
    var metadata: JSONObject = [
      "tokenizer.ggml.model": .string("llama"),
      "tokenizer.ggml.tokens": .array(file.pieces.map { .string($0.text) }),
      "tokenizer.ggml.scores": .array(file.pieces.map { .number(Double($0.score)) }),
      "tokenizer.ggml.token_type": .array(file.pieces.map { .integer($0.kind) }),
      "tokenizer.ggml.add_space_prefix": .bool(file.addsPrefix),
      "tokenizer.ggml.unknown_token_id": .integer(file.unknown),
      "tokenizer.ggml.add_bos_token": .bool(
        configuration["add_bos_token"]?.bool ?? (file.bos >= 0)),
      "tokenizer.ggml.add_eos_token": .bool(configuration["add_eos_token"]?.bool ?? false),
    ]
    for (key, id, name) in [
      ("tokenizer.ggml.bos_token_id", file.bos, "bos_token"),
      ("tokenizer.ggml.eos_token_id", file.eos, "eos_token"),
    ] {
      let token = configuration[name]
      let text = token?.string ?? token?["content"]?.string
      let named = text.flatMap { text in file.pieces.firstIndex { $0.text == text } }
      if let id = named ?? (id >= 0 ? id : nil) { metadata[key] = .integer(id) }
    }
    var json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: subject)
    json = AddedTokensDecoder.merge(configuration, into: json)
    return json
  }

  private struct File {
    var pieces: [(text: String, score: Float, kind: Int)] = []
    var modelType = 1
    var unknown = 0
    var bos = 1
    var eos = 2
    var addsPrefix = true
    var removesSpaces = true
    var hasCharacterMap = false
  }

  private static func read(_ bytes: [UInt8], _ subject: String) throws(Failure) -> File {
    var file = File()
    let malformed = Failure(
      .malformed, subject, "not a SentencePiece model",
      remedy: "Take it again from the model's publisher")
    guard let fields = ProtocolBuffer.fields(bytes[...]) else { throw malformed }
    for field in fields {
      guard case .bytes(let body) = field.value, (1...3).contains(field.number) else { continue }
      guard let inner = ProtocolBuffer.fields(body) else { throw malformed }
      switch field.number {
      case 1:
        guard let piece = piece(inner), file.pieces.count < Vocabulary.maximumID - 1 else {
          throw malformed
        }
        file.pieces.append(piece)
      case 2:
        for field in inner {
          switch (field.number, field.value) {
          case (3, .integer(let value)): file.modelType = Int(truncatingIfNeeded: value)
          case (40, .integer(let value)): file.unknown = signed(value)
          case (41, .integer(let value)): file.bos = signed(value)
          case (42, .integer(let value)): file.eos = signed(value)
          default: break
          }
        }
      default:
        for field in inner {
          switch (field.number, field.value) {
          case (2, .bytes(let map)): file.hasCharacterMap = !map.isEmpty
          case (3, .integer(let value)): file.addsPrefix = value != 0
          case (4, .integer(let value)): file.removesSpaces = value != 0
          default: break
          }
        }
      }
    }
    guard !file.pieces.isEmpty, file.pieces.indices.contains(file.unknown),
      file.bos < file.pieces.count, file.eos < file.pieces.count
    else { throw malformed }
    return file
  }

  /// Negative numbers are written as if they had 64 bits.
  private static func signed(_ value: UInt64) -> Int {
    Int(Int32(truncatingIfNeeded: value))
  }

  private static func piece(_ fields: [ProtocolBuffer.Field]) -> (String, Float, Int)? {
    var text: String?
    var score: Float = 0
    var kind = 1
    for field in fields {
      switch (field.number, field.value) {
      case (1, .bytes(let bytes)): text = String(validating: bytes, as: UTF8.self)
      case (2, .fixed32(let bits)): score = Float(bitPattern: bits)
      case (3, .integer(let value)): kind = Int(truncatingIfNeeded: value)
      default: break
      }
    }
    guard let text, score.isFinite else { return nil }
    return (text, score, kind)
  }
}

/// As much of protocol buffers as SentencePiece needs.
enum ProtocolBuffer {
  enum Value {
    case integer(UInt64)
    case fixed32(UInt32)
    case fixed64
    case bytes(ArraySlice<UInt8>)
  }

  struct Field {
    var number: Int
    var value: Value
  }

  /// The fields of a message, or nil where the bytes are none.
  static func fields(_ bytes: ArraySlice<UInt8>) -> [Field]? {
    var rest = bytes
    var fields: [Field] = []
    while !rest.isEmpty {
      guard let tag = varint(&rest), let number = Int(exactly: tag >> 3), number > 0 else {
        return nil
      }
      let value: Value
      switch tag & 7 {
      case 0:
        guard let integer = varint(&rest) else { return nil }
        value = .integer(integer)
      case 1:
        guard rest.count >= 8 else { return nil }
        rest.removeFirst(8)
        value = .fixed64
      case 2:
        guard let length = varint(&rest), let count = Int(exactly: length), count <= rest.count
        else { return nil }
        value = .bytes(rest.prefix(count))
        rest.removeFirst(count)
      case 5:
        guard rest.count >= 4 else { return nil }
        value = .fixed32(rest.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
        rest.removeFirst(4)
      default: return nil
      }
      fields.append(Field(number: number, value: value))
    }
    return fields
  }

  private static func varint(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while let byte = bytes.popFirst() {
      guard shift < 64 else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
      shift += 7
    }
    return nil
  }
}
