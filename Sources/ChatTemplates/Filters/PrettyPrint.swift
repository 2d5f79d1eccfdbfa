extension Filters {
  /// `pprint`: Python's `pprint.pformat`, which breaks what is wider than 80 columns.
  static func pprint(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("pprint", [])
    var printer = PrettyPrinter(rendering)
    try printer.write(value, indent: 0, allowance: 0)
    return .string(Text(printer.result))
  }
}

/// Lays values out over lines.
private struct PrettyPrinter {
  private let rendering: Rendering
  private(set) var result: [Scalar] = []
  private static let width = 80

  init(_ rendering: Rendering) { self.rendering = rendering }

  private mutating func put(_ string: String) throws(Problem) {
    try rendering.charge(bytes: 4 * string.utf8.count)
    result.append(contentsOf: string.unicodeScalars)
  }

  /// - Parameters:
  ///   - indent: the column where the value starts.
  ///   - allowance: what must still fit behind it.
  mutating func write(_ value: Value, indent: Int, allowance: Int) throws(Problem) {
    let flat = try rendering.representation(sorted(value))
    guard flat.count > Self.width - indent - allowance else {
      result.append(contentsOf: flat.scalars)
      return
    }
    switch value {
    case .list(let items): try write(items.values, "[", "]", indent, allowance)
    case .tuple(let items):
      try write(items.values, "(", items.values.count == 1 ? ",)" : ")", indent, allowance)
    case .mapping(let mapping): try write(mapping, indent, allowance)
    default: result.append(contentsOf: flat.scalars)
    }
  }

  private mutating func write(
    _ values: [Value], _ open: String, _ close: String, _ indent: Int, _ allowance: Int
  ) throws(Problem) {
    try put(open)
    for (at, value) in values.enumerated() {
      let isLast = at == values.count - 1
      if at > 0 { try put(",\n" + String(repeating: " ", count: indent + 1)) }
      try write(
        value, indent: indent + 1, allowance: isLast ? allowance + close.utf8.count : 1)
    }
    try put(close)
  }

  private mutating func write(_ mapping: Mapping, _ indent: Int, _ allowance: Int) throws(Problem) {
    try put("{")
    let entries = try ordered(mapping)
    for (at, entry) in entries.enumerated() {
      let isLast = at == entries.count - 1
      if at > 0 { try put(",\n" + String(repeating: " ", count: indent + 1)) }
      let key = try rendering.representation(entry.key)
      result.append(contentsOf: key.scalars)
      try put(": ")
      try write(
        entry.value, indent: indent + 1 + key.count + 2, allowance: isLast ? allowance + 1 : 1)
    }
    try put("}")
  }

  private func ordered(_ mapping: Mapping) throws(Problem) -> [(key: Value, value: Value)] {
    // Keys of several types have no order; they stay as they are.
    let strings = mapping.entries.allSatisfy { $0.key.string != nil }
    guard strings else { return mapping.entries }
    return try rendering.sorted(mapping.entries) { (entry) in entry.key }
  }

  /// The value with the keys of its dicts in order.
  private func sorted(_ value: Value) throws(Problem) -> Value {
    switch value {
    case .list(let items): return try rendering.list(try sorted(items.values))
    case .tuple(let items): return try rendering.tuple(try sorted(items.values))
    case .mapping(let mapping):
      var entries: [(key: Value, value: Value)] = []
      for (key, value) in try ordered(mapping) { entries.append((key, try sorted(value))) }
      return try rendering.mapping(entries)
    default: return value
    }
  }

  private func sorted(_ values: [Value]) throws(Problem) -> [Value] {
    var result: [Value] = []
    for value in values { result.append(try sorted(value)) }
    return result
  }
}
