import Support

/// A tokenizer as `tokenizer.json` of the `tokenizers` library describes it: byte-pair encoding
/// with its normalizer, pre-tokenizer, added tokens, post-processor and decoder.
///
/// Ids and text are those of the library. What the file asks for and this cannot do is refused by
/// name when it is read. The value is immutable and may be used from several threads.
public final class Tokenizer: Sendable {
  let vocabulary: Vocabulary
  let decoder: TokenDecoder
  private let model: BytePairModel
  private let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let postProcessor: PostProcessor
  /// Added tokens that are looked for in the text as given, and in normalized text.
  private let rawTokens: AddedTokenMatcher
  private let normalizedTokens: AddedTokenMatcher
  /// Added tokens that decode to something else than their content, as in the library: those
  /// looked for in normalized text decode to what was found there.
  private let foundSpellings: [Int32: [UInt8]]

  /// Reads a file; its vocabulary is taken in without a copy of the document in memory.
  ///
  /// - Throws: `Failure`: `.malformed` for a file that is not what it should be, `.unsupported`
  ///   naming the part that is not known here, `.io` or `.notFound`.
  public convenience init(contentsOf path: String) throws(Failure) {
    try self.init(bytes: try FileSystem.readBytes(path, limitBytes: 256 << 20), subject: path)
  }

  /// The same from a file's bytes.
  ///
  /// - Parameter configuration: tokenizer_config.json, for added tokens that stand only there.
  public convenience init(bytes: [UInt8], subject: String, configuration: JSONValue = .null)
    throws(Failure)
  {
    try self.init(try TokenizerFile(bytes, subject: subject), configuration: configuration)
  }

  convenience init(_ file: TokenizerFile, configuration: JSONValue = .null) throws(Failure) {
    try self.init(
      Configuration(value: file.document, subject: file.tables.subject, place: ""),
      tables: file.tables, configuration: configuration)
  }

  /// Takes the content of tokenizer.json.
  ///
  /// - Parameter subject: the file's name, for error messages.
  public convenience init(json: JSONValue, subject: String) throws(Failure) {
    let root = Configuration(value: json, subject: subject, place: "")
    let model = try root.required("model")
    let vocab = try model.required("vocab").value
    var tables = ModelTables(
      subject: subject, entries: vocab.object?.count ?? vocab.array?.count ?? 0)
    try tables.read(model)
    try self.init(root, tables: tables)
  }

  private init(
    _ root: Configuration, tables: consuming ModelTables, configuration: JSONValue = .null
  ) throws(Failure) {
    let modelPart = try root.required("model")
    // Old files do not name the model; only byte-pair encoding has merges.
    if let type = modelPart["type"], try type.string() != "BPE" {
      throw type.unsupported("the model \"\(try type.string())\" is not supported, only BPE is")
    }
    let normalizer = try Normalizer(root["normalizer"])
    let workspace = RegularExpression.Workspace()
    var raw = AddedTokenMatcher()
    var normalized = AddedTokenMatcher()
    var spellings: [Int32: [UInt8]] = [:]
    let parts = try root["added_tokens"]?.elements() ?? []
    let more = AddedTokensDecoder.missing(configuration, beside: parts.map(\.value)).map {
      Configuration(value: $0, subject: root.subject, place: "added_tokens_decoder")
    }
    for (at, part) in (parts + more).enumerated() {
      let token = try AddedToken(part)
      // tokenizer.json's own word counts against what only the configuration says.
      if at >= parts.count, !tables.canAdd(token) { continue }
      try tables.add(token, at: part)
      if token.isNormalized {
        let spelling = try token.content.withUnsafeBufferPointer {
          (content) throws(Failure) -> [UInt8] in try normalizer.normalize(content, workspace)
        }
        normalized.add(token, spelling: spelling)
        if spelling != token.content { spellings[token.id] = spelling }
      } else {
        raw.add(token, spelling: token.content)
      }
    }
    tables.trim()
    vocabulary = tables.vocabulary
    self.normalizer = normalizer
    rawTokens = raw
    normalizedTokens = normalized
    foundSpellings = spellings
    preTokenizer = try PreTokenizer(root["pre_tokenizer"])
    model = try BytePairModel(
      modelPart, merges: MergeTable(tables.merges), vocabulary: vocabulary,
      isByteLevel: preTokenizer.isByteLevel)
    postProcessor = try PostProcessor(root["post_processor"], vocabulary: vocabulary)
    decoder = try TokenDecoder(root["decoder"])
  }

  /// Highest id + 1; ids in between may be unused.
  public var vocabularySize: Int { vocabulary.size }

  /// Encodes a text.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: adds what the post-processor puts around a text, such as BOS.
  ///   - parseSpecial: special tokens written in the text become their ids; otherwise they are
  ///     encoded as ordinary text. Added tokens that are not special always count.
  ///   - plainOffsets: places in the text's UTF-8, in ascending order; a special token around one
  ///     of them is ordinary text.
  /// - Throws: `Failure(.unsupported)` when a split pattern backtracks without end on this text,
  ///   or the vocabulary cannot spell a character.
  public func encode(
    _ text: String, addSpecialTokens: Bool = false, parseSpecial: Bool = true,
    plainOffsets: [Int] = []
  ) throws(Failure) -> [Int32] {
    let bytes = Array(text.utf8)
    guard bytes.count < Int(Int32.max) else {
      throw Failure(.unsupported, "text", "more than 2 GiB in one piece")
    }
    var ids: [Int32] = []
    ids.reserveCapacity(bytes.count / 3 + 8)
    if addSpecialTokens { ids += postProcessor.prefix }
    let workspace = RegularExpression.Workspace()
    var merger = Merger()
    try bytes.withUnsafeBufferPointer { (bytes) throws(Failure) in
      for piece in rawTokens.split(bytes, parseSpecial: parseSpecial, plainOffsets: plainOffsets) {
        switch piece {
        case .token(let id): ids.append(id)
        case .text(let range):
          // Offsets mean nothing behind the normalizer: there the whole piece counts as plain.
          let isPlain = plainOffsets.contains { range.contains($0) }
          try encode(
            UnsafeBufferPointer(rebasing: bytes[range]), isStart: range.lowerBound == 0,
            parseSpecial && !isPlain, workspace, &merger, into: &ids)
        }
      }
    }
    if addSpecialTokens { ids += postProcessor.suffix }
    return ids
  }

  /// Where special tokens are written in a text, as ranges of its UTF-8.
  public func specialTokenRanges(in text: String) -> [Range<Int>] {
    guard !rawTokens.isEmpty else { return [] }
    return Array(text.utf8).withUnsafeBufferPointer { rawTokens.specialRanges(in: $0) }
  }

  /// Whether encoding `text` by itself gives what it gives behind other text: it starts with an
  /// added token, or nothing is put in front of a text.
  public func canContinue(with text: String) -> Bool {
    if preTokenizer.isByteLevel { return true }
    return Array(text.utf8).withUnsafeBufferPointer { rawTokens.startsWithToken($0) }
  }

  /// Encodes what stands between two added tokens.
  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, isStart: Bool, _ parseSpecial: Bool,
    _ workspace: RegularExpression.Workspace, _ merger: inout Merger, into ids: inout [Int32]
  ) throws(Failure) {
    let normalized = normalizer.isEmpty ? Array(text) : try normalizer.normalize(text, workspace)
    guard !normalizedTokens.isEmpty else {
      try encodeWords(normalized, isStart, workspace, &merger, into: &ids)
      return
    }
    let pieces = normalized.withUnsafeBufferPointer {
      normalizedTokens.split($0, parseSpecial: parseSpecial)
    }
    for piece in pieces {
      switch piece {
      case .token(let id): ids.append(id)
      case .text(let range):
        try encodeWords(
          Array(normalized[range]), isStart && range.lowerBound == 0, workspace, &merger,
          into: &ids)
      }
    }
  }

  private func encodeWords(
    _ text: consuming [UInt8], _ isStart: Bool, _ workspace: RegularExpression.Workspace,
    _ merger: inout Merger, into ids: inout [Int32]
  ) throws(Failure) {
    let words = try preTokenizer.words(&text, isStart: isStart, workspace)
    try text.withUnsafeBufferPointer { (text) throws(Failure) in
      for word in words {
        try model.encode(
          UnsafeBufferPointer(rebasing: text[word]), vocabulary, &merger, into: &ids)
      }
    }
  }

  /// The text of all ids.
  ///
  /// - Throws: `Failure(.mismatch)` for an id without a token.
  public func decode(_ ids: [Int32], skipSpecialTokens: Bool = false) throws(Failure) -> String {
    var state = DecodingState(decoder)
    var bytes: [UInt8] = []
    for id in ids {
      if let token = try bytesToDecode(id, skipSpecialTokens: skipSpecialTokens) {
        bytes += state.append(token)
      }
    }
    bytes += state.finish()
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The token's spelling, or nil where it is to be skipped.
  func bytesToDecode(_ id: Int32, skipSpecialTokens: Bool) throws(Failure) -> [UInt8]? {
    guard vocabulary.contains(Int(id)) else {
      throw Failure(
        .mismatch, "tokenizer", "no token has the id \(id)",
        remedy: "Tokenizer and model do not belong together")
    }
    if skipSpecialTokens, isSpecial(id) { return nil }
    if !foundSpellings.isEmpty, let spelling = foundSpellings[id] { return spelling }
    return Array(vocabulary.bytes(Int(id)))
  }

  /// The id of a token as the file spells it (`Ġhello`, `<|im_end|>`).
  public func id(of token: String) -> Int32? { vocabulary.id(token.utf8).map(Int32.init) }

  /// The token as the file spells it.
  public func token(of id: Int32) -> String? {
    guard vocabulary.contains(Int(id)) else { return nil }
    return String(decoding: vocabulary.bytes(Int(id)), as: UTF8.self)
  }

  /// Whether decoding with `skipSpecialTokens` leaves this id out.
  public func isSpecial(_ id: Int32) -> Bool { vocabulary.kind(Int(id)).contains(.special) }
}
