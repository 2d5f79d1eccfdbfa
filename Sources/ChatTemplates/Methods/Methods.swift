/// Python's methods and attributes of plain values.
enum Methods {
  /// The method or attribute of a value, or nil where its type has none of this name.
  static func bound(_ name: String, of value: Value) throws(Problem) -> Value? {
    switch value {
    case .string(let text):
      guard let method = strings[name] ?? splitting[name] ?? classifying[name] else { return nil }
      return .object(
        Function(name) { (arguments, rendering) throws(Problem) in
          try rendering.step(1 + text.count / 16)
          let result = try method(text, arguments, rendering)
          if case .string(let made) = result { try rendering.charge(characters: made.count) }
          return result
        })
    case .list(let items), .tuple(let items):
      if case .tuple = value, name == "copy" { return nil }
      guard let method = lists[name] else { return nil }
      return .object(
        Function(name, depth: value.depth + 1) { (arguments, rendering) throws(Problem) in
          try method(items, arguments, rendering)
        })
    case .mapping(let mapping):
      guard let method = mappings[name] else { return nil }
      return .object(
        Function(name, depth: value.depth + 1) { (arguments, rendering) throws(Problem) in
          try method(mapping, arguments, rendering)
        })
    case .boolean, .integer, .float: return number(name, value)
    case .undefined, .none, .object: return nil
    }
  }

  private static func number(_ name: String, _ value: Value) -> Value? {
    switch (name, value) {
    case ("real", .float(let float)): .float(float)
    case ("imag", .float): .float(0)
    case ("real", _), ("numerator", .boolean), ("numerator", .integer):
      value.integer.map(Value.integer)
    case ("imag", _): .integer(0)
    case ("denominator", .boolean), ("denominator", .integer): .integer(1)
    case ("is_integer", .float(let float)):
      .object(
        Function(name) { (arguments, rendering) throws(Problem) in
          .boolean(float.isFinite && float.rounded(.towardZero) == float)
        })
    case ("bit_length", .boolean), ("bit_length", .integer):
      .object(
        Function(name) { (arguments, rendering) throws(Problem) in
          .integer(Int.bitWidth - (value.integer ?? 0).magnitude.leadingZeroBitCount)
        })
    default: nil
    }
  }

  // MARK: What the sandbox forbids

  private static let internals: Set<String> = [
    "class", "init", "new", "repr", "str", "hash", "eq", "ne", "lt", "le", "gt", "ge",
    "getattribute", "setattr", "delattr", "dir", "doc", "format", "reduce", "reduce_ex", "sizeof",
    "subclasshook", "init_subclass", "len", "iter", "contains", "getitem", "setitem", "delitem",
    "add", "mul", "rmul", "mod", "rmod", "call", "globals", "code", "closure", "defaults", "dict",
    "module", "name", "qualname", "self", "func", "mro", "bases", "subclasses", "base",
  ]
  private static let changingLists: Set<String> = [
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
  ]
  private static let changingMappings: Set<String> = [
    "clear", "pop", "popitem", "setdefault", "update",
  ]

  /// Whether a template must not reach this attribute: it changes the value or looks into it.
  static func isForbidden(_ name: String, of value: Value) -> Bool {
    if name.hasPrefix("__"), name.hasSuffix("__"), name.utf8.count > 4 {
      return internals.contains(String(name.dropFirst(2).dropLast(2)))
    }
    return switch value {
    case .list: changingLists.contains(name)
    case .mapping: changingMappings.contains(name)
    default: false
    }
  }

  // MARK: Lists and dicts

  typealias ListMethod = @Sendable (Items, Arguments, Rendering) throws(Problem) -> Value
  typealias MappingMethod = @Sendable (Mapping, Arguments, Rendering) throws(Problem) -> Value

  private static let lists: [String: ListMethod] = [
    "count": { (items, arguments, rendering) throws(Problem) in
      let wanted = try arguments.bind("count", ["value"], required: 1).value(0)
      var found = 0
      for item in items.values where try rendering.areEqual(item, wanted) { found += 1 }
      return .integer(found)
    },
    "index": { (items, arguments, rendering) throws(Problem) in
      let bound = try arguments.bind("index", ["value", "start", "stop"], required: 1)
      let range = Text.range(
        try bound.optionalInt(1), try bound.optionalInt(2), count: items.values.count)
      let wanted = try bound.value(0)
      for at in range ?? 0..<0 where try rendering.areEqual(items.values[at], wanted) {
        return .integer(at)
      }
      throw .value("\(try rendering.representation(wanted).string.prefix(80)) is not in list")
    },
    "copy": { (items, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("copy", [])
      return .list(items)
    },
  ]

  private static let mappings: [String: MappingMethod] = [
    "get": { (mapping, arguments, rendering) throws(Problem) in
      guard arguments.named.isEmpty else { throw .value("dict.get() takes no keyword arguments") }
      let bound = try arguments.bind("get", ["key", "default"], required: 1)
      return mapping[try rendering.key(try bound.value(0))] ?? bound[1] ?? .none
    },
    "items": { (mapping, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("items", [])
      return .object(
        MappingView(
          "items", try Filters.pairs(mapping.entries, rendering), depth: mapping.depth + 2))
    },
    "keys": { (mapping, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("keys", [])
      try rendering.charge(bytes: 16 * mapping.count)
      return .object(MappingView("keys", mapping.keyValues, depth: mapping.depth + 1))
    },
    "values": { (mapping, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("values", [])
      try rendering.charge(bytes: 16 * mapping.count)
      return .object(MappingView("values", mapping.entries.map(\.value), depth: mapping.depth + 1))
    },
    "copy": { (mapping, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("copy", [])
      return .mapping(mapping)
    },
    "fromkeys": { (mapping, arguments, rendering) throws(Problem) in
      let bound = try arguments.bind("fromkeys", ["iterable", "value"], required: 1)
      let value = bound[1] ?? .none
      return try rendering.mapping(
        try rendering.elements(of: try bound.value(0)).map { ($0, value) })
    },
  ]
}

extension Text {
  /// The range that Python's `start` and `stop` mean, or nil where it lies behind the end.
  static func range(_ start: Int?, _ stop: Int?, count: Int) -> Range<Int>? {
    func clamp(_ bound: Int) -> Int {
      bound < 0 ? max(0, max(bound, -count) + count) : bound
    }
    let lower = clamp(start ?? 0)
    let upper = min(clamp(stop ?? count), count)
    return lower <= upper ? lower..<upper : nil
  }
}
