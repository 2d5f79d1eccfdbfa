extension Methods {
  typealias StringMethod = @Sendable (Text, Arguments, Rendering) throws(Problem) -> Value

  /// Methods that give changed text.
  static let strings: [String: StringMethod] = [
    "upper": plain("upper") { $0.uppercased },
    "lower": plain("lower") { $0.lowercased },
    "capitalize": plain("capitalize") { $0.capitalized },
    "title": plain("title") { $0.titlecased },
    "swapcase": plain("swapcase") { $0.swappedCase },
    "casefold": plain("casefold") { $0.casefolded },
    "strip": strip("strip", .both),
    "lstrip": strip("lstrip", .left),
    "rstrip": strip("rstrip", .right),
    "replace": { (text, arguments, rendering) throws(Problem) in
      let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
      return .string(
        try rendering.replacing(
          text, try bound.text(0), try bound.text(1), limit: try bound.int(2, default: -1)))
    },
    "removeprefix": { (text, arguments, rendering) throws(Problem) in
      let prefix = try arguments.bind("removeprefix", ["prefix"], required: 1).text(0)
      return .string(text.hasPrefix(prefix) ? Text(text.scalars[prefix.count...]) : text)
    },
    "removesuffix": { (text, arguments, rendering) throws(Problem) in
      let suffix = try arguments.bind("removesuffix", ["suffix"], required: 1).text(0)
      guard !suffix.isEmpty, text.hasSuffix(suffix) else { return .string(text) }
      return .string(Text(text.scalars.dropLast(suffix.count)))
    },
    "center": { (text, arguments, rendering) throws(Problem) in
      let (width, fill) = try padding("center", arguments)
      return .string(try rendering.centered(text, width, fill))
    },
    "ljust": { (text, arguments, rendering) throws(Problem) in
      let (width, fill) = try padding("ljust", arguments)
      return .string(text + (try rendering.repeated(fill, missing(width, text))))
    },
    "rjust": { (text, arguments, rendering) throws(Problem) in
      let (width, fill) = try padding("rjust", arguments)
      return .string(try rendering.repeated(fill, missing(width, text)) + text)
    },
    "zfill": { (text, arguments, rendering) throws(Problem) in
      let width = try arguments.bind("zfill", ["width"], required: 1).int(0)
      let zeros = try rendering.repeated("0", missing(width, text))
      guard let first = text.scalars.first, first == "-" || first == "+" else {
        return .string(zeros + text)
      }
      return .string(Text([first]) + zeros + Text(text.scalars[1...]))
    },
    "expandtabs": expandtabs,
    "join": join,
    "format": { (text, arguments, rendering) throws(Problem) in
      .string(try rendering.braceFormat(text, arguments))
    },
    "format_map": { (text, arguments, rendering) throws(Problem) in
      let value = try arguments.bind("format_map", ["mapping"], required: 1).value(0)
      guard case .mapping(let mapping) = value else {
        throw .value("format_map() needs a dict, not '\(value.typeName)'")
      }
      var named: [(name: Text, value: Value)] = []
      for (key, value) in mapping.entries {
        if let name = key.string { named.append((name, value)) }
      }
      return .string(try rendering.braceFormat(text, Arguments([], named: named)))
    },
    "encode": refused("encode"), "translate": refused("translate"),
    "maketrans": refused("maketrans"),
  ]

  private static func plain(_ name: String, _ change: @escaping @Sendable (Text) -> Text)
    -> StringMethod
  {
    { (text, arguments, rendering) throws(Problem) in
      _ = try arguments.bind(name, [])
      return .string(change(text))
    }
  }

  private static func refused(_ name: String) -> StringMethod {
    { (text, arguments, rendering) throws(Problem) in
      throw Problem(
        .unsupported, "the method '\(name)' of strings is not supported",
        remedy: "A template has no use for bytes or tables")
    }
  }

  private static func strip(_ name: String, _ side: Text.Side) -> StringMethod {
    { (text, arguments, rendering) throws(Problem) in
      .string(text.stripped(side, of: try arguments.bind(name, ["chars"]).optionalText(0)))
    }
  }

  private static func padding(_ name: String, _ arguments: Arguments) throws(Problem)
    -> (width: Int, fill: Text)
  {
    let bound = try arguments.bind(name, ["width", "fillchar"], required: 1)
    let fill = try bound.text(1, default: " ")
    guard fill.count == 1 else {
      throw .value("the fill character must be exactly one character long")
    }
    return (try bound.int(0), fill)
  }

  private static func missing(_ width: Int, _ text: Text) -> Int {
    width > text.count ? width - text.count : 0
  }

  private static func expandtabs(
    _ text: Text, _ arguments: Arguments, _ rendering: Rendering
  ) throws(Problem) -> Value {
    let size = try arguments.bind("expandtabs", ["tabsize"]).int(0, default: 8)
    var result: [Scalar] = []
    var column = 0
    for scalar in text.scalars {
      switch scalar {
      case "\t":
        let count = size > 0 ? size - column % size : 0
        result += try rendering.spaces(count).scalars
        column += count
      case "\n", "\r":
        result.append(scalar)
        column = 0
      default:
        result.append(scalar)
        column += 1
      }
    }
    return .string(Text(result))
  }

  private static func join(_ text: Text, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let parts = try rendering.elements(
      of: try arguments.bind("join", ["iterable"], required: 1).value(0))
    var result: [Scalar] = []
    for (at, part) in parts.enumerated() {
      guard let piece = part.string else {
        throw .value(
          "sequence item \(at): expected str instance, \(part.typeName) found")
      }
      try rendering.charge(characters: piece.count + text.count)
      if at > 0 { result.append(contentsOf: text.scalars) }
      result.append(contentsOf: piece.scalars)
    }
    return .string(Text(result))
  }
}
