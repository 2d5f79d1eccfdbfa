import Support

/// The `tokenizer.ggml.*` key/values, checked.
struct GGUFTokens {
  /// Values of `tokenizer.ggml.token_type`.
  enum Kind: Int {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6
  }

  let subject: String
  let model: String
  let tokens: [String]
  let kinds: [Kind]
  private let metadata: JSONObject

  init(_ metadata: JSONObject, subject: String) throws(Failure) {
    self.metadata = metadata
    self.subject = subject
    func malformed(_ key: String, _ problem: String) -> Failure {
      Failure(.malformed, subject, at: "tokenizer.ggml." + key, problem)
    }
    guard let model = metadata["tokenizer.ggml.model"] else {
      throw malformed("model", "the file holds no tokenizer")
    }
    guard let name = model.string else { throw malformed("model", "a string is expected") }
    self.model = name
    guard let list = metadata["tokenizer.ggml.tokens"]?.array, !list.isEmpty,
      list.count < Vocabulary.maximumID
    else { throw malformed("tokens", "a list of tokens is expected") }
    let tokens = list.compactMap(\.string)
    guard tokens.count == list.count else { throw malformed("tokens", "a token is no string") }
    self.tokens = tokens
    if let types = metadata["tokenizer.ggml.token_type"]?.array {
      guard types.count == tokens.count else {
        throw malformed("token_type", "\(types.count) types for \(tokens.count) tokens")
      }
      let kinds = types.compactMap { $0.integer.flatMap(Kind.init) }
      guard kinds.count == types.count else { throw malformed("token_type", "an unknown type") }
      self.kinds = kinds
    } else {
      kinds = tokens.map { _ in .normal }
    }
  }

  func missing(_ key: String) -> Failure {
    Failure(.malformed, subject, at: "tokenizer.ggml." + key, "the key is missing")
  }

  private func value<Value>(
    _ key: String, _ expected: String, _ read: (JSONValue) -> Value?
  ) throws(Failure) -> Value? {
    guard let found = metadata["tokenizer.ggml." + key] else { return nil }
    guard let value = read(found) else {
      throw Failure(.malformed, subject, at: "tokenizer.ggml." + key, "\(expected) is expected")
    }
    return value
  }

  func string(_ key: String) throws(Failure) -> String? {
    try value(key, "a string", \.string)
  }

  func bool(_ key: String) throws(Failure) -> Bool? {
    try value(key, "true or false", \.bool)
  }

  func list(_ key: String) throws(Failure) -> [JSONValue]? {
    try value(key, "a list", \.array)
  }

  /// The id of a token of the vocabulary.
  func id(_ key: String) throws(Failure) -> Int? {
    try value(key, "the id of a token") { value in
      value.integer.flatMap { tokens.indices.contains($0) ? $0 : nil }
    }
  }

  /// `model.vocab`.
  var vocabulary: JSONValue {
    var object = JSONObject()
    for (id, token) in tokens.enumerated() {
      // Keys that differ only in composition can be one to an object; then a list has to do.
      guard object[token] == nil else { return .array(tokens.map { .string($0) }) }
      object[token] = .integer(id)
    }
    return .object(object)
  }

  var addedTokens: [JSONValue] {
    tokens.indices.compactMap { id in
      let isSpecial = kinds[id] == .control || kinds[id] == .unknown
      guard isSpecial || kinds[id] == .userDefined, !tokens[id].isEmpty else { return nil }
      return .object([
        "id": .integer(id), "content": .string(tokens[id]), "single_word": .bool(false),
        "lstrip": .bool(false), "rstrip": .bool(false), "normalized": .bool(false),
        "special": .bool(isSpecial),
      ])
    }
  }
}
