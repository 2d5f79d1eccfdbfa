import Glibc

extension Filters {
  static let numbers: [String: Filter] = [
    "int": int, "float": float, "round": round, "abs": abs, "filesizeformat": filesizeformat,
  ]

  static func int(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("int", ["default", "base"])
    let fallback = bound[0] ?? .integer(0)
    switch value {
    case .undefined(let missing): throw missing.problem
    case .string(let text):
      if let integer = NumberReading.integer(text, base: try bound.int(1, default: 10)) {
        return .integer(integer)
      }
      guard let float = NumberReading.float(text), float.isFinite else { return fallback }
      return .integer(try truncated(float))
    case .float(let float):
      if float.isNaN { return fallback }
      return .integer(try truncated(float))
    default: return value.integer.map(Value.integer) ?? fallback
    }
  }

  private static func truncated(_ float: Double) throws(Problem) -> Int {
    guard let integer = Int(exactly: float.rounded(.towardZero)) else {
      throw Problem(.limit, "an integer does not fit 64 bits")
    }
    return integer
  }

  static func float(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let fallback = try arguments.bind("float", ["default"])[0] ?? .float(0)
    switch value {
    case .undefined(let missing): throw missing.problem
    case .string(let text): return NumberReading.float(text).map(Value.float) ?? fallback
    default: return value.number.map(Value.float) ?? fallback
    }
  }

  static func round(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("round", ["precision", "method"])
    let precision = try bound.int(0, default: 0)
    let method = try bound.text(1, default: "common")
    guard Swift.abs(precision) <= 300 else {
      throw Problem(.limit, "a precision above 300 in round")
    }
    if case .undefined(let missing) = value { throw missing.problem }
    guard let number = value.number else {
      throw .value("type \(value.typeName) doesn't define __round__ method")
    }
    switch method {
    case "common":
      if let integer = value.integer {
        guard precision < 0 else { return .integer(integer) }
        let scale = pow(10, Double(-precision))
        return .integer(try truncated((number / scale).rounded(.toNearestOrEven) * scale))
      }
      return .float(rounded(number, precision))
    case "ceil", "floor":
      let scale = pow(10, Double(precision))
      let scaled = number * scale
      let whole = method == "ceil" ? scaled.rounded(.up) : scaled.rounded(.down)
      // Python's floor and ceil give integers, which have no negative zero.
      return .float((whole + 0) / scale)
    default: throw .value("method must be common, ceil or floor")
    }
  }

  /// Rounds the exact value, ties to even, as Python does.
  private static func rounded(_ value: Double, _ precision: Int) -> Double {
    guard value.isFinite else { return value }
    guard precision < 0 else {
      return Double(FormatSpecification.c("f", precision, value)) ?? value
    }
    let scale = pow(10, Double(-precision))
    return (value / scale).rounded(.toNearestOrEven) * scale
  }

  static func abs(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("abs", [])
    if case .float(let value) = value { return .float(Swift.abs(value)) }
    if let integer = value.integer, integer >= 0 { return .integer(integer) }
    if value.integer != nil { return try rendering.negated(value) }
    if case .undefined(let missing) = value { throw missing.problem }
    throw .value("bad operand type for abs(): '\(value.typeName)'")
  }

  static func filesizeformat(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let isBinary = try arguments.bind("filesizeformat", ["binary"]).flag(0)
    let read = value.string.map(NumberReading.float) ?? value.number
    guard let bytes = read else { throw .value("filesizeformat needs a number") }
    let base: Double = isBinary ? 1024 : 1000
    if bytes == 1 { return .string("1 Byte") }
    if bytes < base {
      return .text("\(FormatSpecification.c("f", 0, bytes.rounded(.towardZero) + 0)) Bytes")
    }
    let prefixes = ["k", "M", "G", "T", "P", "E", "Z", "Y"]
    var unit = base
    var name = ""
    for prefix in prefixes {
      unit *= base
      name = isBinary ? prefix.uppercased() + "iB" : prefix + "B"
      if bytes < unit { break }
    }
    return .text("\(FormatSpecification.c("f", 1, base * bytes / unit)) \(name)")
  }
}

/// Numbers in strings, as Python's `int` and `float` read them.
enum NumberReading {
  private static func cleaned(_ text: Text) -> String? {
    var result = ""
    let scalars = text.stripped().scalars
    for (at, scalar) in scalars.enumerated() {
      if scalar == "_" {
        // Underscores stand between digits only.
        guard at > 0, at + 1 < scalars.count, scalars[at - 1].isAlphanumeric,
          scalars[at + 1].isAlphanumeric
        else { return nil }
      } else if let digit = scalar.properties.numericType == .decimal
        ? scalar.properties.numericValue : nil
      {
        result += String(Int(digit))
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  static func integer(_ text: Text, base: Int) -> Int? {
    guard var string = cleaned(text), base == 0 || (2...36).contains(base) else { return nil }
    var sign = ""
    if let first = string.first, first == "-" || first == "+" {
      sign = first == "-" ? "-" : ""
      string.removeFirst()
    }
    var radix = base
    for (prefix, value) in [("0x", 16), ("0o", 8), ("0b", 2)]
    where string.lowercased().hasPrefix(prefix) && (base == value || base == 0) {
      radix = value
      string.removeFirst(2)
      break
    }
    if radix == 0 { radix = 10 }
    guard let first = string.first, first != "-", first != "+" else { return nil }
    return Int(sign + string, radix: radix)
  }

  static func float(_ text: Text) -> Double? {
    guard let string = cleaned(text)?.lowercased() else { return nil }
    let bare = string.first == "-" || string.first == "+" ? String(string.dropFirst()) : string
    let sign: Double = string.first == "-" ? -1 : 1
    switch bare {
    case "inf", "infinity": return sign * .infinity
    case "nan": return .nan
    default: break
    }
    guard let first = bare.first, first.isNumber || first == ".",
      bare.allSatisfy({ "0123456789.e+-".contains($0) })
    else { return nil }
    // Python takes "1." and ".5".
    var padded = bare.hasPrefix(".") ? "0" + bare : bare
    if padded.hasSuffix(".") { padded += "0" }
    if let dot = padded.range(of: ".e") { padded.replaceSubrange(dot, with: ".0e") }
    guard bare != "." else { return nil }
    return Double(padded).map { sign * $0 }
  }
}

extension String {
  fileprivate func range(of part: String) -> Range<Index>? {
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(part) { return at..<index(at, offsetBy: part.count) }
      at = index(after: at)
    }
    return nil
  }
}
