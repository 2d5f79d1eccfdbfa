import Support

/// Added tokens of tokenizer_config.json (`added_tokens_decoder`): by id, with the same flags as in
/// tokenizer.json, where some models leave a few of them out.
public enum AddedTokensDecoder {
  /// The entries of tokenizer_config.json that tokenizer.json has not, as it would write them.
  ///
  /// What contradicts tokenizer.json, by its id or its content, is left out: that file's word
  /// counts.
  static func missing(_ configuration: JSONValue, beside known: [JSONValue]) -> [JSONValue] {
    guard let entries = configuration["added_tokens_decoder"]?.object else { return [] }
    let ids = Set(known.compactMap { $0["id"]?.integer })
    let contents = Set(known.compactMap { $0["content"]?.string.map { ExactString($0) } })
    var found: [(id: Int, token: JSONValue)] = []
    for (key, entry) in entries.members {
      guard let id = Int(key), let content = entry["content"]?.string, !content.isEmpty,
        !ids.contains(id), !contents.contains(ExactString(content))
      else { continue }
      var token: JSONObject = ["id": .integer(id), "content": .string(content)]
      for flag in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
        token[flag] = .bool(entry[flag]?.bool ?? false)
      }
      found.append((id, .object(token)))
    }
    return found.sorted { $0.id < $1.id }.map(\.token)
  }

  /// tokenizer.json with the tokens that only tokenizer_config.json names.
  public static func merge(_ configuration: JSONValue, into tokenizer: JSONValue) -> JSONValue {
    guard var object = tokenizer.object else { return tokenizer }
    let known = object["added_tokens"]?.array ?? []
    object["added_tokens"] = .array(known + missing(configuration, beside: known))
    return .object(object)
  }
}
