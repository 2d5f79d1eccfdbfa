extension Filters {
  static let markup: [String: Filter] = [
    "safe": safe, "escape": escape, "e": escape, "forceescape": forceescape,
    "striptags": striptags, "urlencode": urlencode, "xmlattr": xmlattr,
  ]

  static func safe(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("safe", [])
    return .string(Text(try rendering.text(value).scalars, isSafe: true))
  }

  static func escape(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("escape", [])
    return .string(try rendering.escaped(try rendering.text(value)))
  }

  static func forceescape(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("forceescape", [])
    return .string(try rendering.escaped(Text(try rendering.text(value).scalars)))
  }

  static func striptags(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("striptags", [])
    let text = try rendering.text(value)
    var plain = without(text, from: "<!--", to: "-->")
    plain = without(plain, from: "<", to: ">")
    let words = plain.words()
    var joined: [Scalar] = []
    for (at, word) in words.enumerated() {
      if at > 0 { joined.append(" ") }
      joined += word.scalars
    }
    return try rendering.string(unescaped(Text(joined)))
  }

  private static func without(_ text: Text, from open: Text, to close: Text) -> Text {
    var result: [Scalar] = []
    var at = 0
    while let start = text.find(open, from: at),
      let end = text.find(close, from: start + open.count)
    {
      result += text.scalars[at..<start]
      at = end + close.count
    }
    return Text(result + text.scalars[at...])
  }

  private static let entities: [Text: Scalar] = [
    "amp": "&", "lt": "<", "gt": ">", "quot": "\"", "apos": "'", "nbsp": "\u{A0}",
  ]

  private static func unescaped(_ text: Text) -> Text {
    var result: [Scalar] = []
    var at = 0
    while at < text.count {
      let scalar = text.scalars[at]
      if scalar == "&", let end = text.find(";", in: at..<min(at + 12, text.count)) {
        let name = Text(text.scalars[(at + 1)..<end])
        if let known = entities[name] ?? numbered(name) {
          result.append(known)
          at = end + 1
          continue
        }
      }
      result.append(scalar)
      at += 1
    }
    return Text(result)
  }

  private static func numbered(_ name: Text) -> Scalar? {
    let string = name.string
    guard string.hasPrefix("#") else { return nil }
    let digits = string.dropFirst()
    let value =
      digits.lowercased().hasPrefix("x") ? UInt32(digits.dropFirst(), radix: 16) : UInt32(digits)
    return value.flatMap(Scalar.init)
  }

  // MARK: URLs and attributes

  static func urlencode(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("urlencode", [])
    switch value {
    case .string(let text): return try rendering.string(quoted(text, isQuery: false))
    case .mapping(let mapping):
      return .string(try query(try pairs(mapping.entries, rendering), rendering))
    default:
      guard let elements = try rendering.elementsIfIterable(of: value) else {
        return try rendering.string(quoted(try rendering.text(value), isQuery: false))
      }
      return .string(try query(elements, rendering))
    }
  }

  private static func query(_ pairs: [Value], _ rendering: Rendering) throws(Problem) -> Text {
    var result: [Scalar] = []
    for (at, pair) in pairs.enumerated() {
      let parts = try rendering.elements(of: pair)
      guard parts.count == 2 else { throw .value("urlencode needs pairs") }
      if at > 0 { result.append("&") }
      for (side, part) in parts.enumerated() {
        if side > 0 { result.append("=") }
        let piece = quoted(try rendering.text(part), isQuery: true)
        try rendering.charge(characters: piece.count + 1)
        result += piece.scalars
      }
    }
    return Text(result)
  }

  private static func quoted(_ text: Text, isQuery: Bool) -> Text {
    var result: [Scalar] = []
    for scalar in text.scalars {
      switch scalar {
      case "a"..."z", "A"..."Z", "0"..."9", "_", ".", "-", "~": result.append(scalar)
      case "/" where !isQuery: result.append(scalar)
      case " " where isQuery: result.append("+")
      default:
        for byte in String(scalar).utf8 {
          let hex = String(byte, radix: 16, uppercase: true)
          result += ("%" + (hex.count < 2 ? "0" : "") + hex).unicodeScalars
        }
      }
    }
    return Text(result)
  }

  static func xmlattr(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("xmlattr", ["autospace"])
    guard case .mapping(let mapping) = value else {
      throw .value("xmlattr needs a dict, not '\(value.typeName)'")
    }
    var result = Text()
    for (key, value) in mapping.entries where !value.isNone && !value.isUndefined {
      let name = try rendering.text(key)
      guard !name.scalars.contains(where: { $0.isPythonSpace || "/>=".unicodeScalars.contains($0) })
      else { throw .value("invalid character in attribute name: '\(name.string.prefix(40))'") }
      let content = try rendering.escaped(try rendering.text(value))
      if !result.isEmpty { result = result + " " }
      result = result + (try rendering.escaped(name)) + "=\"" + content + "\""
      try rendering.charge(characters: result.count)
    }
    return .string(bound.flag(0, default: true) && !result.isEmpty ? " " + result : result)
  }
}

extension Rendering {
  /// The text with HTML's special characters replaced, unless it is marked as safe.
  func escaped(_ text: Text) throws(Problem) -> Text {
    if text.isSafe { return text }
    var result: [Scalar] = []
    for scalar in text.scalars {
      switch scalar {
      case "&": result += "&amp;".unicodeScalars
      case "<": result += "&lt;".unicodeScalars
      case ">": result += "&gt;".unicodeScalars
      case "'": result += "&#39;".unicodeScalars
      case "\"": result += "&#34;".unicodeScalars
      default: result.append(scalar)
      }
    }
    try charge(characters: result.count)
    return Text(result, isSafe: true)
  }
}
