import Support

/// Byte-pair encoding: splits a word into symbols and merges neighbours in order of rank.
///
/// Matches `models::BPE` of the `tokenizers` library, `fuse_unk`, `byte_fallback` and
/// `ignore_merges` included.
struct BytePairModel: Sendable {
  let merges: MergeTable
  /// Words arrive as bytes to be spelled in the byte alphabet.
  let isByteLevel: Bool
  /// Id for each byte: of its letter in the byte alphabet, or of `<0x00>` … with byte fallback.
  private let byteIDs: [Int32]
  private let unknownID: Int32?
  private let fusesUnknown: Bool
  private let fallsBackToBytes: Bool
  private let ignoresMerges: Bool
  private let subject: String

  init(
    _ configuration: Configuration, merges: MergeTable, vocabulary: Vocabulary, isByteLevel: Bool
  ) throws(Failure) {
    if let dropout = configuration["dropout"], dropout.value.double != 0 {
      throw dropout.unsupported("dropout makes ids random")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = configuration[key], try affix.string() != "" {
        throw affix.unsupported("\(key) is not supported")
      }
    }
    self.merges = merges
    self.isByteLevel = isByteLevel
    subject = configuration.subject
    fusesUnknown = try configuration.bool("fuse_unk", default: false)
    fallsBackToBytes = try configuration.bool("byte_fallback", default: false)
    ignoresMerges = try configuration.bool("ignore_merges", default: false)
    if let unknown = configuration["unk_token"] {
      guard let id = vocabulary.id(try unknown.string().utf8) else {
        throw unknown.malformed("the unknown token is not in the vocabulary")
      }
      unknownID = Int32(id)
    } else {
      unknownID = nil
    }
    byteIDs = (0..<256).map { byte in
      var spelling: [UInt8] = []
      if isByteLevel {
        ScalarReader.append(UInt32(ByteAlphabet.codes[byte]), to: &spelling)
      } else {
        spelling = ByteFallback.spelling(UInt8(byte))
      }
      return Self.modelID(spelling, vocabulary).map(Int32.init) ?? -1
    }
  }

  private static func modelID(_ token: [UInt8], _ vocabulary: Vocabulary) -> Int? {
    guard let id = vocabulary.id(token), vocabulary.kind(id).contains(.model) else { return nil }
    return id
  }

  /// Appends the ids of one word.
  ///
  /// - Throws: `Failure(.unsupported)` where the vocabulary has no token for a character and no
  ///   unknown token either; text is never dropped silently.
  func encode(
    _ word: UnsafeBufferPointer<UInt8>, _ vocabulary: Vocabulary, _ merger: inout Merger,
    into ids: inout [Int32]
  ) throws(Failure) {
    if ignoresMerges {
      var spelled: [UInt8] = []
      if isByteLevel { ByteAlphabet.spell(word, into: &spelled) } else { spelled = Array(word) }
      if let id = Self.modelID(spelled, vocabulary) {
        ids.append(Int32(id))
        return
      }
    }
    merger.symbols.removeAll(keepingCapacity: true)
    if isByteLevel, unknownID == nil {
      for byte in word {
        let id = byteIDs[Int(byte)]
        guard id >= 0 else { throw missing("byte \(byte)") }
        merger.symbols.append(UInt32(id))
      }
    } else {
      try addSymbols(word, vocabulary, to: &merger.symbols)
    }
    merger.merge(merges, into: &ids)
  }

  private func addSymbols(
    _ word: UnsafeBufferPointer<UInt8>, _ vocabulary: Vocabulary, to symbols: inout [UInt32]
  ) throws(Failure) {
    var pendingUnknown: UInt32?
    var at = 0
    while at < word.count {
      let length = isByteLevel ? 1 : min(ScalarReader.length(word[at]), word.count - at)
      let bytes = UnsafeBufferPointer(rebasing: word[at..<at + length])
      at += length
      var found: Int?
      if isByteLevel {
        found = byteIDs[Int(bytes[0])] >= 0 ? Int(byteIDs[Int(bytes[0])]) : nil
      } else if let id = vocabulary.id(bytes), vocabulary.kind(id).contains(.model) {
        found = id
      }
      if let found {
        if let unknown = pendingUnknown { symbols.append(unknown) }
        pendingUnknown = nil
        symbols.append(UInt32(found))
      } else if fallsBackToBytes, !isByteLevel, bytes.allSatisfy({ byteIDs[Int($0)] >= 0 }) {
        for byte in bytes { symbols.append(UInt32(byteIDs[Int(byte)])) }
      } else if let unknownID {
        if let unknown = pendingUnknown, !fusesUnknown { symbols.append(unknown) }
        pendingUnknown = UInt32(unknownID)
      } else {
        throw missing("\"\(String(decoding: bytes, as: UTF8.self))\"")
      }
    }
    if let unknown = pendingUnknown { symbols.append(unknown) }
  }

  private func missing(_ what: String) -> Failure {
    Failure(
      .unsupported, subject, at: "model.vocab",
      "no token for \(what), and no unknown token to stand for it")
  }
}
