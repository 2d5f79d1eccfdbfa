import Support

/// Rebuilds the content of tokenizer.json from the key/values of a GGUF file.
///
/// `tokenizer.ggml.model` may be `gpt2` (byte-level BPE; the split pattern follows from
/// `tokenizer.ggml.pre`) or `llama` (SentencePiece; merges follow from the scores).
public enum GGUFVocabulary {
  /// - Parameters:
  ///   - metadata: the file's key/values; arrays as lists.
  ///   - subject: the file's name, for error messages.
  /// - Returns: what `Tokenizer.init(json:subject:)` takes. Its `model.vocab` is an object as in
  ///   published files; where the tokens cannot be told apart as keys it is a list in order of ids.
  /// - Throws: `Failure(.unsupported)` naming an unknown model or pre-tokenizer;
  ///   `Failure(.malformed)` for missing or contradicting keys.
  public static func tokenizerJSON(metadata: JSONObject, subject: String) throws(Failure)
    -> JSONValue
  {
    let source = try GGUFTokens(metadata, subject: subject)
    switch source.model {
    case "gpt2": return try byteLevel(source)
    case "llama": return try sentencePiece(source)
    default:
      throw Failure(
        .unsupported, subject, at: "tokenizer.ggml.model",
        "the tokenizer model \"\(source.model)\" is not supported, only gpt2 and llama are")
    }
  }

  /// What tokenizer_config.json would say: the special tokens by name.
  ///
  /// - Throws: as `tokenizerJSON` for a vocabulary that cannot be read.
  public static func tokenizerConfiguration(metadata: JSONObject, subject: String) throws(Failure)
    -> JSONValue
  {
    let source = try GGUFTokens(metadata, subject: subject)
    var result = JSONObject()
    for (key, name) in [
      ("bos_token_id", "bos_token"), ("eos_token_id", "eos_token"),
      ("unknown_token_id", "unk_token"), ("seperator_token_id", "sep_token"),
      ("padding_token_id", "pad_token"), ("cls_token_id", "cls_token"),
      ("mask_token_id", "mask_token"),
    ] {
      // Some files keep an id that stands for none.
      if let id = metadata["tokenizer.ggml." + key]?.integer, source.tokens.indices.contains(id) {
        result[name] = .string(source.tokens[id])
      }
    }
    for key in ["add_bos_token", "add_eos_token"] {
      if let value = try source.bool(key) { result[key] = .bool(value) }
    }
    return .object(result)
  }

  private static func byteLevel(_ source: GGUFTokens) throws(Failure) -> JSONValue {
    let name = try source.string("pre") ?? "default"
    guard let patterns = GGUFPatterns.named(name) else {
      throw Failure(
        .unsupported, source.subject, at: "tokenizer.ggml.pre",
        "the pre-tokenizer \"\(name)\" is not known",
        remedy: "Use the model's Hugging Face directory, which holds its tokenizer.json")
    }
    guard let merges = try source.list("merges") else {
      throw source.missing("merges")
    }
    var steps: [JSONValue] = patterns.steps.map { step in
      switch step {
      case .split(let pattern): splitStep(pattern)
      case .digits: .object(["type": .string("Digits"), "individual_digits": .bool(true)])
      case .gpt2: splitStep(PreTokenizer.gpt2Pattern)
      }
    }
    let byteLevel: JSONValue = .object([
      "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true),
      "use_regex": .bool(false),
    ])
    steps.append(byteLevel)
    var model: JSONObject = ["type": .string("BPE")]
    for key in ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix"] {
      model[key] = .null
    }
    model["fuse_unk"] = .bool(false)
    model["byte_fallback"] = .bool(false)
    model["ignore_merges"] = .bool(patterns.ignoresMerges)
    model["vocab"] = source.vocabulary
    model["merges"] = .array(merges)
    return try document(
      source, normalizer: patterns.composes ? .object(["type": .string("NFC")]) : .null,
      preTokenizer: ["type": .string("Sequence"), "pretokenizers": .array(steps)],
      decoder: byteLevel, model: model, addsBOS: patterns.addsBOS)
  }

  private static func splitStep(_ pattern: String) -> JSONValue {
    .object([
      "type": .string("Split"), "pattern": .object(["Regex": .string(pattern)]),
      "behavior": .string("Isolated"), "invert": .bool(false),
    ])
  }

  private static func sentencePiece(_ source: GGUFTokens) throws(Failure) -> JSONValue {
    let space = JSONValue.object(["String": .string("\u{2581}")])
    var normalizers: [JSONValue] = [
      .object([
        "type": .string("Replace"), "pattern": .object(["String": .string(" ")]),
        "content": .string("\u{2581}"),
      ])
    ]
    let prepends = try source.bool("add_space_prefix") ?? true
    var decoders: [JSONValue] = [
      .object(["type": .string("Replace"), "pattern": space, "content": .string(" ")]),
      .object(["type": .string("ByteFallback")]), .object(["type": .string("Fuse")]),
    ]
    if prepends {
      normalizers.insert(
        .object(["type": .string("Prepend"), "prepend": .string("\u{2581}")]), at: 0)
      decoders.append(
        .object([
          "type": .string("Strip"), "content": .string(" "), "start": .integer(1),
          "stop": .integer(0),
        ]))
    }
    let unknown = try source.id("unknown_token_id") ?? 0
    let model: JSONObject = [
      "type": .string("BPE"), "dropout": .null, "unk_token": .string(source.tokens[unknown]),
      "continuing_subword_prefix": .null, "end_of_word_suffix": .null, "fuse_unk": .bool(true),
      "byte_fallback": .bool(true), "ignore_merges": .bool(false), "vocab": source.vocabulary,
      "merges": .array(try SentencePieceMerges.merges(source)),
    ]
    return try document(
      source,
      normalizer: .object(["type": .string("Sequence"), "normalizers": .array(normalizers)]),
      preTokenizer: nil,
      decoder: .object(["type": .string("Sequence"), "decoders": .array(decoders)]),
      model: model, addsBOS: true)
  }

  private static func document(
    _ source: GGUFTokens, normalizer: JSONValue, preTokenizer: JSONObject?, decoder: JSONValue,
    model: JSONObject, addsBOS: Bool
  ) throws(Failure) -> JSONValue {
    .object([
      "version": .string("1.0"), "truncation": .null, "padding": .null,
      "added_tokens": .array(source.addedTokens), "normalizer": normalizer,
      "pre_tokenizer": preTokenizer.map { .object($0) } ?? .null,
      "post_processor": try template(source, addsBOS: addsBOS), "decoder": decoder,
      "model": .object(model),
    ])
  }

  /// BOS in front and EOS behind, as `add_bos_token` and `add_eos_token` say.
  private static func template(_ source: GGUFTokens, addsBOS: Bool) throws(Failure) -> JSONValue {
    var single: [JSONValue] = []
    var special = JSONObject()
    func add(_ key: String) throws(Failure) {
      guard let id = try source.id(key) else { throw source.missing(key) }
      let token = source.tokens[id]
      special[token] = .object([
        "id": .string(token), "ids": .array([.integer(id)]), "tokens": .array([.string(token)]),
      ])
      single.append(
        .object(["SpecialToken": .object(["id": .string(token), "type_id": .integer(0)])]))
    }
    if try source.bool("add_bos_token") ?? addsBOS { try add("bos_token_id") }
    single.append(.object(["Sequence": .object(["id": .string("A"), "type_id": .integer(0)])]))
    if try source.bool("add_eos_token") ?? false { try add("eos_token_id") }
    guard !special.members.isEmpty else { return .null }
    let second = JSONValue.object([
      "Sequence": .object(["id": .string("B"), "type_id": .integer(1)])
    ])
    return .object([
      "type": .string("TemplateProcessing"), "single": .array(single),
      "pair": .array(single + [second]),
      "special_tokens": .object(special),
    ])
  }
}
