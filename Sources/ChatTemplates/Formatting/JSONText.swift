/// `tojson`: JSON as Python's `json.dumps` writes it.
struct JSONText {
  var escapesNonASCII = false
  /// What a level is indented by; nil keeps everything on one line.
  var indent: Text?
  var itemSeparator: Text = ", "
  var keySeparator: Text = ": "
  var sortsKeys = false

  private let rendering: Rendering
  private var result: [Scalar] = []

  init(_ rendering: Rendering) { self.rendering = rendering }

  mutating func text(_ value: Value) throws(Problem) -> Text {
    result = []
    try write(value, level: 0)
    return Text(result)
  }

  private mutating func put(_ string: String) throws(Problem) {
    try rendering.charge(bytes: 4 * string.utf8.count)
    result.append(contentsOf: string.unicodeScalars)
  }

  private mutating func put(_ text: Text) throws(Problem) {
    try rendering.charge(characters: text.count)
    result.append(contentsOf: text.scalars)
  }

  private mutating func write(_ value: Value, level: Int) throws(Problem) {
    switch value {
    case .none: try put("null")
    case .boolean(let value): try put(value ? "true" : "false")
    case .integer(let value): try put(String(value))
    case .float(let value): try put(Self.number(value))
    case .string(let text): try quote(text)
    case .list(let items), .tuple(let items):
      guard !items.values.isEmpty else { return try put("[]") }
      try put("[")
      for (at, item) in items.values.enumerated() {
        try separate(at, level)
        try write(item, level: level + 1)
      }
      try newLine(level)
      try put("]")
    case .mapping(let mapping):
      guard mapping.count > 0 else { return try put("{}") }
      try put("{")
      for (at, entry) in try entries(mapping).enumerated() {
        try separate(at, level)
        try quote(try name(entry.key))
        try put(keySeparator)
        try write(entry.value, level: level + 1)
      }
      try newLine(level)
      try put("}")
    case .object(let group as Group):
      try write(try rendering.list([group.grouper, group.members]), level: level)
    case .undefined, .object:
      throw .value("Object of type \(value.typeName) is not JSON serializable")
    }
  }

  private mutating func separate(_ at: Int, _ level: Int) throws(Problem) {
    if at > 0 { try put(itemSeparator) }
    try newLine(level + 1)
  }

  private mutating func newLine(_ level: Int) throws(Problem) {
    guard let indent else { return }
    try put("\n")
    for _ in 0..<level { try put(indent) }
  }

  private func entries(_ mapping: Mapping) throws(Problem) -> [(key: Value, value: Value)] {
    guard sortsKeys else { return mapping.entries }
    let order = try rendering.sorted(Array(mapping.entries.indices)) { (at) in
      mapping.entries[at].key
    }
    return order.map { mapping.entries[$0] }
  }

  private func name(_ key: Value) throws(Problem) -> Text {
    switch key {
    case .string(let text): return text
    case .none: return "null"
    case .boolean(let value): return value ? "true" : "false"
    case .integer(let value): return Text(String(value))
    case .float(let value): return Text(Self.number(value))
    default:
      throw .value("keys must be str, int, float, bool or None, not \(key.typeName)")
    }
  }

  private static func number(_ value: Double) -> String {
    value.isNaN
      ? "NaN"
      : value.isInfinite
        ? (value < 0 ? "-Infinity" : "Infinity")
        : FloatText.shortest(value)
  }

  private mutating func quote(_ text: Text) throws(Problem) {
    try rendering.charge(characters: text.count + 2)
    result.append("\"")
    for scalar in text.scalars {
      switch scalar {
      case "\"": append("\\\"")
      case "\\": append("\\\\")
      case "\n": append("\\n")
      case "\r": append("\\r")
      case "\t": append("\\t")
      case "\u{08}": append("\\b")
      case "\u{0C}": append("\\f")
      default:
        if scalar.value < 0x20 || escapesNonASCII && scalar.value > 0x7E {
          for unit in String(scalar).utf16 {
            let hex = String(unit, radix: 16)
            append("\\u" + String(repeating: "0", count: 4 - hex.count) + hex)
          }
        } else {
          result.append(scalar)
        }
      }
    }
    result.append("\"")
  }

  private mutating func append(_ string: String) {
    result.append(contentsOf: string.unicodeScalars)
  }
}

extension Filters {
  /// `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
  static func toJSON(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind(
      "tojson", ["ensure_ascii", "indent", "separators", "sort_keys"])
    var writer = JSONText(rendering)
    writer.escapesNonASCII = bound.flag(0)
    if let indent = bound[1], !indent.isNone {
      switch indent {
      case .string(let text): writer.indent = text
      default: writer.indent = try rendering.spaces(try bound.int(1))
      }
      writer.itemSeparator = ","
    }
    if let separators = bound[2], !separators.isNone {
      let pair = try rendering.elements(of: separators)
      guard pair.count == 2, let item = pair[0].string, let key = pair[1].string else {
        throw .value("tojson(): 'separators' must be two strings")
      }
      writer.itemSeparator = item
      writer.keySeparator = key
    }
    writer.sortsKeys = bound.flag(3)
    return .string(try writer.text(value))
  }
}
