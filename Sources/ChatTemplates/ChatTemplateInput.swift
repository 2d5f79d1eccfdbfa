import Support

/// What a template is rendered with.
public struct ChatTemplateInput: Sendable {
  /// The conversation: a list of objects with `role`, `content`, `tool_calls`, …
  public var messages: JSONValue
  /// Every other variable: `add_generation_prompt`, `tools`, `enable_thinking`, …
  public var arguments: JSONObject
  /// `bos_token`, `eos_token` and the like; one that is not here is undefined.
  public var specialTokens: JSONObject
  /// What `strftime_now` tells; nil is this machine's time.
  public var clock: CivilTime?

  public init(
    messages: JSONValue, arguments: JSONObject = [:], specialTokens: JSONObject = [:],
    clock: CivilTime? = nil
  ) {
    self.messages = messages
    self.arguments = arguments
    self.specialTokens = specialTokens
    self.clock = clock
  }

  /// All variables; as in `transformers`, `tools` and `documents` are always there, and an
  /// argument goes before a special token of its name.
  var variables: [(name: String, value: JSONValue)] {
    var all: JSONObject = [
      "messages": messages, "tools": .null, "documents": .null,
      "add_generation_prompt": .bool(false),
    ]
    for (name, value) in specialTokens.members { all[name] = value }
    for (name, value) in arguments.members { all[name] = value }
    return all.members.map { ($0.key, $0.value) }
  }

  /// The size of it all, with which the bounds of a rendering grow.
  var approximateBytes: Int {
    variables.reduce(0) { $0 + Self.bytes($1.value, depth: 0) }
  }

  private static func bytes(_ value: JSONValue, depth: Int) -> Int {
    guard depth < 200 else { return 0 }
    switch value {
    case .string(let text): return text.utf8.count + 16
    case .array(let values): return values.reduce(16) { $0 + bytes($1, depth: depth + 1) }
    case .object(let object):
      return object.members.reduce(16) {
        $0 + $1.key.utf8.count + bytes($1.value, depth: depth + 1)
      }
    default: return 16
    }
  }
}

extension Rendering {
  /// The input as values of the language.
  func variables(_ input: ChatTemplateInput) throws(Problem) -> [(String, Value)] {
    var result: [(String, Value)] = []
    for (name, value) in input.variables { result.append((name, try self.value(value))) }
    return result
  }

  func value(_ json: JSONValue) throws(Problem) -> Value {
    switch json {
    case .null: return .none
    case .bool(let value): return .boolean(value)
    case .integer(let value): return .integer(value)
    case .number(let value): return .float(value)
    case .string(let text): return try string(Text(text))
    case .array(let values):
      try enter()
      var items: [Value] = []
      items.reserveCapacity(values.count)
      for value in values { items.append(try self.value(value)) }
      leave()
      return try list(items)
    case .object(let object):
      try enter()
      try charge(bytes: 64 * object.count)
      var members: [(Text, Value)] = []
      members.reserveCapacity(object.count)
      var depth = 0
      for (key, value) in object.members {
        let value = try self.value(value)
        depth = max(depth, value.depth)
        members.append((Text(key), value))
      }
      leave()
      try check(depth: depth + 1)
      return .mapping(Mapping(unique: members, depth: depth + 1))
    }
  }
}
