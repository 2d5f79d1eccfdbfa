extension JSONValue {
  /// The document as text; the same value always gives the same bytes.
  ///
  /// - Parameter pretty: one member a line, indented by two spaces.
  public func serialized(pretty: Bool = false) -> String {
    var text = ""
    write(to: &text, indent: pretty ? 0 : nil)
    return text
  }

  private func write(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    // JSON has no infinities; statistics that divide by zero say so with null.
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .string(let value): Self.writeString(value, to: &text)
    case .array(let values):
      // Lists of plain values stay on one line even in pretty documents.
      let flat = values.allSatisfy { if case .array = $0 { false } else { $0.object == nil } }
      Self.writeList(
        open: "[", close: "]", count: values.count, indent: flat ? nil : indent, to: &text
      ) { at, text, inner in values[at].write(to: &text, indent: inner) }
    case .object(let object):
      Self.writeList(
        open: "{", close: "}", count: object.count, indent: indent, to: &text
      ) { at, text, inner in
        Self.writeString(object.members[at].key, to: &text)
        text += inner == nil ? ":" : ": "
        object.members[at].value.write(to: &text, indent: inner)
      }
    }
  }

  private static func writeList(
    open: String, close: String, count: Int, indent: Int?, to text: inout String,
    element: (Int, inout String, Int?) -> Void
  ) {
    text += open
    let inner = indent.map { $0 + 1 }
    for at in 0..<count {
      if at > 0 { text += "," }
      if let inner { text += "\n" + String(repeating: "  ", count: inner) }
      element(at, &text, inner)
    }
    if let indent, count > 0 { text += "\n" + String(repeating: "  ", count: indent) }
    text += close
  }

  private static func writeString(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\u{00}"..."\u{1F}":
        let hex = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
