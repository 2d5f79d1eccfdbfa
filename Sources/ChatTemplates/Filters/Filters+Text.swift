extension Filters {
  static let texts: [String: Filter] = [
    "upper": { (value, arguments, rendering) throws(Problem) in
      try changed("upper", value, arguments, rendering) { $0.uppercased }
    },
    "lower": { (value, arguments, rendering) throws(Problem) in
      try changed("lower", value, arguments, rendering) { $0.lowercased }
    },
    "capitalize": { (value, arguments, rendering) throws(Problem) in
      try changed("capitalize", value, arguments, rendering) { $0.capitalized }
    },
    "title": { (value, arguments, rendering) throws(Problem) in
      try changed("title", value, arguments, rendering, titled)
    },
    "string": { (value, arguments, rendering) throws(Problem) in
      try changed("string", value, arguments, rendering) { $0 }
    },
    "trim": trim, "replace": replace, "indent": indent, "center": center, "truncate": truncate,
    "wordcount": wordcount, "wordwrap": wordwrap, "format": format,
  ]

  private static func changed(
    _ name: String, _ value: Value, _ arguments: Arguments, _ rendering: Rendering,
    _ change: (Text) -> Text
  ) throws(Problem) -> Value {
    _ = try arguments.bind(name, [])
    return try rendering.string(change(try rendering.text(value)))
  }

  /// Upper case behind space, hyphens and opening brackets, lower case elsewhere.
  private static func titled(_ text: Text) -> Text {
    var result: [Scalar] = []
    var word: [Scalar] = []
    func finish() {
      guard let first = word.first else { return }
      result += Text([first]).uppercased.scalars + Text(word[1...]).lowercased.scalars
      word = []
    }
    for scalar in text.scalars {
      switch scalar {
      case "-", "(", "{", "[", "<":
        finish()
        result.append(scalar)
      case _ where scalar.isPythonSpace:
        finish()
        result.append(scalar)
      default: word.append(scalar)
      }
    }
    finish()
    return Text(result, isSafe: text.isSafe)
  }

  static func trim(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let characters = try arguments.bind("trim", ["chars"]).optionalText(0)
    return try rendering.string(try rendering.text(value).stripped(of: characters))
  }

  static func replace(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
    return .string(
      try rendering.replacing(
        try rendering.text(value), try rendering.text(try bound.value(0)),
        try rendering.text(try bound.value(1)), limit: try bound.optionalInt(2) ?? -1))
  }

  static func indent(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("indent", ["width", "first", "blank"])
    guard case .string(let text) = value else {
      if case .undefined(let missing) = value { throw missing.problem }
      throw .value("indent needs a string, not '\(value.typeName)'")
    }
    let indention =
      if case .string(let text)? = bound[0] { text } else {
        try rendering.spaces(try bound.int(0, default: 4))
      }
    // A line end behind the text, so that one that is there already makes an empty last line.
    let lines = (text + "\n").lines()
    var result: [Scalar] = []
    if bound.flag(1) { result += indention.scalars }
    for (at, line) in lines.enumerated() {
      try rendering.charge(characters: line.count + indention.count + 1)
      if at > 0 {
        result.append("\n")
        if bound.flag(2) || !line.isEmpty { result += indention.scalars }
      }
      result += line.scalars
    }
    return .string(Text(result, isSafe: text.isSafe))
  }

  static func center(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let width = try arguments.bind("center", ["width"]).int(0, default: 80)
    return .string(try rendering.centered(try rendering.text(value), width, " "))
  }

  static func truncate(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("truncate", ["length", "killwords", "end", "leeway"])
    let end = try bound.text(2, default: "...")
    let length = try bound.int(0, default: 255)
    let leeway = try bound.optionalInt(3) ?? 5
    guard length >= end.count else {
      throw .value("expected length >= \(end.count), got \(length)")
    }
    guard leeway >= 0 else { throw .value("expected leeway >= 0, got \(leeway)") }
    if try rendering.length(of: value) - leeway <= length { return value }
    guard let text = value.string else {
      throw .value("truncate needs a string, not '\(value.typeName)'")
    }
    let cut = Text(text.scalars.prefix(length - end.count))
    if bound.flag(1) { return try rendering.string(cut + end) }
    return try rendering.string(cut.splitFromEnd(by: " ", limit: 1)[0] + end)
  }

  static func wordcount(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("wordcount", [])
    var words = 0
    var isInWord = false
    for scalar in try rendering.text(value).scalars {
      if scalar.isWord, !isInWord { words += 1 }
      isInWord = scalar.isWord
    }
    return .integer(words)
  }

  /// `"%s and %s"|format(a, b)`.
  static func format(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    guard arguments.positional.isEmpty || arguments.named.isEmpty else {
      throw .value("format: positional and named arguments exclude each other")
    }
    let values =
      arguments.named.isEmpty
      ? try rendering.tuple(arguments.positional)
      : try rendering.mapping(arguments.named.map { (.string($0.name), $0.value) })
    return .string(try rendering.percentFormat(try rendering.text(value), values))
  }
}

extension Rendering {
  /// `str.replace`; the size of the result is counted before it is made.
  func replacing(_ text: Text, _ old: Text, _ new: Text, limit: Int) throws(Problem) -> Text {
    guard limit != 0 else { return text }
    var found = text.occurrences(of: old, in: 0..<text.count)
    if limit > 0 { found = min(found, limit) }
    guard found > 0 else { return text }
    let growth = found.multipliedReportingOverflow(by: max(0, new.count - old.count))
    try charge(characters: growth.overflow ? Int.max : text.count + growth.partialValue)
    var result: [Scalar] = []
    var at = 0
    for _ in 0..<found {
      if old.isEmpty {
        result.append(contentsOf: new.scalars)
        if at < text.count { result.append(text.scalars[at]) }
        at += 1
      } else if let next = text.find(old, from: at) {
        result.append(contentsOf: text.scalars[at..<next])
        result.append(contentsOf: new.scalars)
        at = next + old.count
      }
    }
    if at < text.count { result.append(contentsOf: text.scalars[at...]) }
    return Text(result, isSafe: text.isSafe)
  }

  /// `str.center`: an odd space goes left when the width is odd.
  func centered(_ text: Text, _ width: Int, _ fill: Text) throws(Problem) -> Text {
    let missing = width - text.count
    guard missing > 0 else { return text }
    let left = missing / 2 + (missing & width & 1)
    let result = try repeated(fill, left) + text + (try repeated(fill, missing - left))
    return Text(result.scalars, isSafe: text.isSafe)
  }
}
