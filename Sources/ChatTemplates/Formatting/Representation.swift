extension Rendering {
  /// `str(value)`: what `{{ value }}` writes.
  func text(_ value: Value) throws(Problem) -> Text {
    switch value {
    case .string(let text): return text
    case .undefined: return Text()
    default: return try representation(value)
    }
  }

  /// `repr(value)`.
  func representation(_ value: Value) throws(Problem) -> Text {
    var result: [Scalar] = []
    try write(value, to: &result)
    return Text(result)
  }

  private func put(_ string: String, _ result: inout [Scalar]) throws(Problem) {
    try charge(bytes: 4 * string.utf8.count)
    result.append(contentsOf: string.unicodeScalars)
  }

  private func write(_ value: Value, to result: inout [Scalar]) throws(Problem) {
    switch value {
    case .undefined: try put("Undefined", &result)
    case .none: try put("None", &result)
    case .boolean(let value): try put(value ? "True" : "False", &result)
    case .integer(let value): try put(String(value), &result)
    case .float(let value): try put(FloatText.shortest(value), &result)
    case .string(let text):
      try charge(characters: text.count + 2)
      if text.isSafe { try put("Markup(", &result) }
      Self.quote(text, to: &result)
      if text.isSafe { try put(")", &result) }
    case .list(let items):
      try write(items.values, "[", "]", to: &result)
    case .tuple(let items):
      try write(items.values, "(", items.values.count == 1 ? ",)" : ")", to: &result)
    case .mapping(let mapping):
      try put("{", &result)
      for (at, (key, value)) in mapping.entries.enumerated() {
        if at > 0 { try put(", ", &result) }
        try write(key, to: &result)
        try put(": ", &result)
        try write(value, to: &result)
      }
      try put("}", &result)
    case .object(let object):
      try enter()
      if let namespace = object as? Namespace {
        try put("<Namespace ", &result)
        try write(try namespace.contents(self), to: &result)
        try put(">", &result)
      } else if let group = object as? Group {
        try write([group.grouper, group.members], "(", ")", to: &result)
      } else if let view = object as? MappingView {
        try write(try view.elements(self) ?? [], view.typeName + "([", "])", to: &result)
      } else if let state = object as? LoopState {
        let length = try length(of: value)
        try put("<LoopContext \(state.index + 1)/\(length)>", &result)
      } else {
        try put(object.representation, &result)
      }
      leave()
    }
  }

  private func write(
    _ values: [Value], _ open: String, _ close: String, to result: inout [Scalar]
  ) throws(Problem) {
    try put(open, &result)
    for (at, value) in values.enumerated() {
      if at > 0 { try put(", ", &result) }
      try write(value, to: &result)
    }
    try put(close, &result)
  }

  /// A string as Python's `repr` writes it: in single quotes unless it holds some and no double ones.
  static func quote(_ text: Text, to result: inout [Scalar]) {
    let quote: Scalar = text.scalars.contains("'") && !text.scalars.contains("\"") ? "\"" : "'"
    result.append(quote)
    for scalar in text.scalars {
      switch scalar {
      case quote, "\\":
        result.append("\\")
        result.append(scalar)
      case "\n": result.append(contentsOf: "\\n".unicodeScalars)
      case "\r": result.append(contentsOf: "\\r".unicodeScalars)
      case "\t": result.append(contentsOf: "\\t".unicodeScalars)
      default:
        if scalar.isPrintable {
          result.append(scalar)
        } else {
          result.append(contentsOf: escape(scalar).unicodeScalars)
        }
      }
    }
    result.append(quote)
  }

  /// What `ascii` makes of a representation.
  static func ascii(_ text: Text) -> Text {
    var result: [Scalar] = []
    for scalar in text.scalars {
      if scalar.isASCII {
        result.append(scalar)
      } else {
        result.append(contentsOf: escape(scalar).unicodeScalars)
      }
    }
    return Text(result)
  }

  private static func escape(_ scalar: Scalar) -> String {
    let hex = String(scalar.value, radix: 16)
    let (letter, width) =
      scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
    return "\\" + letter + String(repeating: "0", count: width - hex.count) + hex
  }
}
