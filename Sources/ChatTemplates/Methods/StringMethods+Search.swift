extension Methods {
  /// Methods that cut text or look for something in it.
  static let splitting: [String: StringMethod] = [
    "split": { (text, arguments, rendering) throws(Problem) in
      let (separator, limit) = try separator("split", arguments)
      return try rendering.list(
        separator.map { text.split(by: $0, limit: limit) } ?? text.words(limit: limit))
    },
    "rsplit": { (text, arguments, rendering) throws(Problem) in
      let (separator, limit) = try separator("rsplit", arguments)
      return try rendering.list(
        separator.map { text.splitFromEnd(by: $0, limit: limit) }
          ?? text.wordsFromEnd(limit: limit))
    },
    "splitlines": { (text, arguments, rendering) throws(Problem) in
      let keepsEnds = try arguments.bind("splitlines", ["keepends"]).flag(0)
      return try rendering.list(text.lines(keepingEnds: keepsEnds))
    },
    "partition": { (text, arguments, rendering) throws(Problem) in
      let separator = try nonempty("partition", arguments)
      guard let at = text.find(separator) else {
        return try rendering.tuple([.string(text), .string(""), .string("")])
      }
      return try parts(text, at, separator, rendering)
    },
    "rpartition": { (text, arguments, rendering) throws(Problem) in
      let separator = try nonempty("rpartition", arguments)
      guard let at = text.findLast(separator, in: 0..<text.count) else {
        return try rendering.tuple([.string(""), .string(""), .string(text)])
      }
      return try parts(text, at, separator, rendering)
    },
    "startswith": { (text, arguments, rendering) throws(Problem) in
      .boolean(
        try affix("startswith", text, arguments) { (part, affix) in part.hasPrefix(affix) })
    },
    "endswith": { (text, arguments, rendering) throws(Problem) in
      .boolean(try affix("endswith", text, arguments) { (part, affix) in part.hasSuffix(affix) })
    },
    "find": { (text, arguments, rendering) throws(Problem) in
      .integer(try place("find", text, arguments) ?? -1)
    },
    "rfind": { (text, arguments, rendering) throws(Problem) in
      .integer(try place("rfind", text, arguments) ?? -1)
    },
    "index": { (text, arguments, rendering) throws(Problem) in
      guard let at = try place("index", text, arguments) else {
        throw .value("substring not found")
      }
      return .integer(at)
    },
    "rindex": { (text, arguments, rendering) throws(Problem) in
      guard let at = try place("rindex", text, arguments) else {
        throw .value("substring not found")
      }
      return .integer(at)
    },
    "count": { (text, arguments, rendering) throws(Problem) in
      let bound = try arguments.bind("count", ["sub", "start", "end"], required: 1)
      let part = try bound.text(0)
      guard
        let range = Text.range(
          try bound.optionalInt(1), try bound.optionalInt(2), count: text.count)
      else { return .integer(0) }
      return .integer(text.occurrences(of: part, in: range))
    },
  ]

  private static func separator(_ name: String, _ arguments: Arguments) throws(Problem)
    -> (Text?, limit: Int)
  {
    let bound = try arguments.bind(name, ["sep", "maxsplit"])
    let separator = try bound.optionalText(0)
    guard separator?.isEmpty != true else { throw .value("empty separator") }
    return (separator, try bound.int(1, default: -1))
  }

  private static func nonempty(_ name: String, _ arguments: Arguments) throws(Problem) -> Text {
    let separator = try arguments.bind(name, ["sep"], required: 1).text(0)
    guard !separator.isEmpty else { throw .value("empty separator") }
    return separator
  }

  private static func parts(
    _ text: Text, _ at: Int, _ separator: Text, _ rendering: Rendering
  ) throws(Problem) -> Value {
    try rendering.charge(characters: text.count)
    return try rendering.tuple([
      .string(Text(text.scalars[..<at])), .string(separator),
      .string(Text(text.scalars[(at + separator.count)...])),
    ])
  }

  /// `startswith` and `endswith` take one string or a tuple of them.
  private static func affix(
    _ name: String, _ text: Text, _ arguments: Arguments, _ holds: (Text, Text) -> Bool
  ) throws(Problem) -> Bool {
    let bound = try arguments.bind(name, ["prefix", "start", "end"], required: 1)
    var choices: [Text] = []
    if case .tuple(let items) = try bound.value(0) {
      for item in items.values {
        guard let choice = item.string else {
          throw .value("tuple for \(name) must only contain str, not \(item.typeName)")
        }
        choices.append(choice)
      }
    } else {
      choices = [try bound.text(0)]
    }
    guard
      let range = Text.range(try bound.optionalInt(1), try bound.optionalInt(2), count: text.count)
    else { return false }
    let part = range == 0..<text.count ? text : Text(text.scalars[range])
    return choices.contains { holds(part, $0) }
  }

  private static func place(_ name: String, _ text: Text, _ arguments: Arguments) throws(Problem)
    -> Int?
  {
    let bound = try arguments.bind(name, ["sub", "start", "end"], required: 1)
    let part = try bound.text(0)
    guard
      let range = Text.range(try bound.optionalInt(1), try bound.optionalInt(2), count: text.count)
    else { return nil }
    return name.hasPrefix("r") ? text.findLast(part, in: range) : text.find(part, in: range)
  }

  // MARK: Kinds of characters

  /// Methods that say what a text consists of.
  static let classifying: [String: StringMethod] = [
    "isalnum": all("isalnum") { $0.isAlphanumeric },
    "isalpha": all("isalpha") { $0.isLetter },
    "isdecimal": all("isdecimal") { $0.properties.numericType == .decimal },
    "isdigit": all("isdigit") {
      $0.properties.numericType == .decimal || $0.properties.numericType == .digit
    },
    "isnumeric": all("isnumeric") { $0.properties.numericType != nil },
    "isspace": all("isspace") { $0.isPythonSpace },
    "isascii": whole("isascii") { $0.isASCII },
    "isprintable": whole("isprintable") { $0.scalars.allSatisfy(\.isPrintable) },
    "islower": whole("islower") { $0.isLower },
    "isupper": whole("isupper") { $0.isUpper },
    "istitle": whole("istitle") { $0.isTitle },
    "isidentifier": whole("isidentifier") { text in
      guard let first = text.scalars.first else { return false }
      return (first == "_" || first.properties.isXIDStart)
        && text.scalars.dropFirst().allSatisfy(\.properties.isXIDContinue)
    },
  ]

  private static func whole(_ name: String, _ holds: @escaping @Sendable (Text) -> Bool)
    -> StringMethod
  {
    { (text, arguments, rendering) throws(Problem) in
      _ = try arguments.bind(name, [])
      return .boolean(holds(text))
    }
  }

  /// Whether there are characters and all are of a kind.
  private static func all(_ name: String, _ holds: @escaping @Sendable (Scalar) -> Bool)
    -> StringMethod
  {
    whole(name) { text in !text.isEmpty && text.scalars.allSatisfy(holds) }
  }
}
