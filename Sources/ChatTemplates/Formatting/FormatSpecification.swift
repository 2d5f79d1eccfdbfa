import Glibc

/// Python's format specification: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.
struct FormatSpecification {
  enum Alignment: Scalar { case left = "<", right = ">", center = "^", behindSign = "=" }

  var fill: Scalar = " "
  var alignment: Alignment?
  var sign: Scalar = "-"
  var isAlternate = false
  var width = 0
  var grouping: Scalar?
  var precision: Int?
  var type: Scalar?
  /// Whether anything is asked for at all.
  private var isEmpty = false

  /// Nobody needs wider columns; a template must not ask for gigabytes.
  static let maximumWidth = 1 << 20
  static let maximumPrecision = 500

  init() {}

  init(_ text: Text) throws(Problem) {
    isEmpty = text.isEmpty
    var rest = text.scalars[...]
    if rest.count > 1, let found = Alignment(rawValue: rest[rest.startIndex + 1]) {
      fill = rest.removeFirst()
      alignment = found
      rest.removeFirst()
    } else if let first = rest.first, let found = Alignment(rawValue: first) {
      alignment = found
      rest.removeFirst()
    }
    if let first = rest.first, first == "+" || first == "-" || first == " " {
      sign = rest.removeFirst()
    }
    if rest.first == "#" {
      isAlternate = true
      rest.removeFirst()
    }
    if rest.first == "0" {
      if alignment == nil {
        fill = "0"
        alignment = .behindSign
      }
      rest.removeFirst()
    }
    width = try Self.number(&rest) ?? 0
    if rest.first == "," || rest.first == "_" { grouping = rest.removeFirst() }
    if rest.first == "." {
      rest.removeFirst()
      guard let number = try Self.number(&rest) else {
        throw .value("format specifier missing precision")
      }
      precision = number
    }
    type = rest.popFirst()
    guard rest.isEmpty else { throw .value("invalid format specifier '\(text.string.prefix(40))'") }
  }

  static func number(_ rest: inout ArraySlice<Scalar>) throws(Problem) -> Int? {
    var value: Int?
    while let first = rest.first, first.isASCIIDigit {
      value = (value ?? 0) * 10 + Int(first.value - 0x30)
      rest.removeFirst()
      guard let value, value <= maximumWidth else {
        throw Problem(.limit, "a width or precision above \(maximumWidth) in a format")
      }
    }
    return value
  }

  // MARK: Values

  func format(_ value: Value, _ rendering: Rendering) throws(Problem) -> Text {
    switch value {
    case .undefined(let missing):
      // `format(undefined, "")` is its text; anything else has no meaning.
      guard width == 0, type == nil else { throw missing.problem }
      return Text()
    case .string(let text): return try format(text)
    case .boolean where isEmpty: return try rendering.text(value)
    case .boolean, .integer: return try integer(value.integer ?? 0)
    case .float(let value): return try float(value)
    default:
      guard isEmpty else {
        throw .value("unsupported format string passed to \(value.typeName).__format__")
      }
      return try rendering.text(value)
    }
  }

  private func unknown(_ name: String) -> Problem {
    .value("unknown format code '\(type ?? " ")' for object of type '\(name)'")
  }

  private func format(_ text: Text) throws(Problem) -> Text {
    guard type == nil || type == "s" else { throw unknown("str") }
    guard sign == "-", grouping == nil, !isAlternate else {
      throw .value("a sign, '#' or grouping in the format of a string")
    }
    guard alignment != .behindSign || fill == "0" else {
      throw .value("'=' alignment not allowed in string format specifier")
    }
    let cut = precision.map { Text(text.scalars.prefix($0)) } ?? text
    return padded(cut.scalars, alignment == .behindSign ? .left : alignment ?? .left)
  }

  private func integer(_ value: Int) throws(Problem) -> Text {
    if precision != nil, type == nil || "dbcoxXn".unicodeScalars.contains(type ?? "d") {
      throw .value("precision not allowed in integer format specifier")
    }
    switch type {
    case nil, "d", "n": return number(String(value.magnitude), isNegative: value < 0)
    case "b": return number(String(value.magnitude, radix: 2), isNegative: value < 0, prefix: "0b")
    case "o": return number(String(value.magnitude, radix: 8), isNegative: value < 0, prefix: "0o")
    case "x": return number(String(value.magnitude, radix: 16), isNegative: value < 0, prefix: "0x")
    case "X":
      return number(
        String(value.magnitude, radix: 16, uppercase: true), isNegative: value < 0, prefix: "0X")
    case "c":
      guard let scalar = UInt32(exactly: value).flatMap(Scalar.init) else {
        throw .value("%c arg not in range(0x110000)")
      }
      return padded([scalar], alignment ?? .left)
    case "e", "E", "f", "F", "g", "G", "%": return try float(Double(value))
    default: throw unknown("int")
    }
  }

  private func float(_ value: Double) throws(Problem) -> Text {
    let precision = precision ?? 6
    guard precision <= Self.maximumPrecision else {
      throw Problem(.limit, "a precision above \(Self.maximumPrecision) in a format")
    }
    let magnitude = value.magnitude
    var digits: String
    switch type {
    case nil:
      digits =
        self.precision.map { Self.general($0, magnitude, keepsPoint: true) }
        ?? FloatText.shortest(magnitude)
    case "f", "F": digits = Self.c("f", precision, magnitude)
    case "e", "E": digits = Self.c("e", precision, magnitude)
    case "g", "G", "n": digits = Self.general(precision, magnitude)
    case "%": digits = Self.c("f", precision, magnitude * 100) + "%"
    default: throw unknown("float")
    }
    if type == "E" || type == "G" || type == "F" { digits = digits.uppercased() }
    return number(digits, isNegative: value.sign == .minus && !value.isNaN)
  }

  /// What C writes for one conversion; the C locale is the program's only one.
  static func c(_ type: String, _ precision: Int, _ value: Double) -> String {
    var buffer = [CChar](repeating: 0, count: 1024)
    let length = withVaList([Int32(clamping: precision), value]) { arguments in
      vsnprintf(&buffer, buffer.count, "%.*" + type, arguments)
    }
    return String(
      decoding: buffer.prefix(Int(max(0, length))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func general(_ precision: Int, _ value: Double, keepsPoint: Bool = false)
    -> String
  {
    let text = c("g", max(precision, 1), value)
    guard keepsPoint, value.isFinite else { return text }
    // Without a type a float keeps a digit behind its point, and one more digit before it goes
    // to exponents.
    let exponent =
      value == 0 ? 0 : Int(c("e", max(precision, 1) - 1, value).split(separator: "e")[1]) ?? 0
    if exponent >= max(precision, 1) - 1, exponent < max(precision, 1), !text.contains("e") {
      let mantissa = c("e", max(precision, 1) - 1, value)
      return shortened(mantissa)
    }
    return text.contains(".") || text.contains("e") ? text : text + ".0"
  }

  private static func shortened(_ text: String) -> String {
    let parts = text.split(separator: "e")
    var mantissa = String(parts[0])
    if mantissa.contains(".") {
      while mantissa.hasSuffix("0") { mantissa.removeLast() }
      if mantissa.hasSuffix(".") { mantissa.removeLast() }
    }
    return mantissa + "e" + parts[1]
  }

  // MARK: Layout

  func number(_ digits: String, isNegative: Bool, prefix: String = "") -> Text {
    var head = isNegative ? "-" : sign == "-" ? "" : String(sign)
    if isAlternate { head += prefix }
    var body = Array(
      (grouping.map { Self.grouped(digits, $0, radixPrefix: prefix) } ?? digits).unicodeScalars)
    let start = Array(head.unicodeScalars)
    guard alignment == .behindSign else { return padded(start + body, alignment ?? .right) }
    let missing = max(0, width - start.count - body.count)
    body.insert(contentsOf: repeatElement(fill, count: missing), at: 0)
    return Text(start + body)
  }

  private static func grouped(_ digits: String, _ separator: Scalar, radixPrefix: String) -> String
  {
    let size = radixPrefix.isEmpty || separator == "," ? 3 : 4
    let whole = digits.prefix { $0.isHexDigit }
    var result = ""
    for (at, digit) in whole.enumerated() {
      if at > 0, (whole.count - at) % size == 0 { result.unicodeScalars.append(separator) }
      result.append(digit)
    }
    return result + digits.dropFirst(whole.count)
  }

  func padded(_ scalars: [Scalar], _ alignment: Alignment) -> Text {
    let missing = width - scalars.count
    guard missing > 0 else { return Text(scalars) }
    let left = alignment == .left ? 0 : alignment == .center ? missing / 2 : missing
    return Text(
      Array(repeating: fill, count: left) + scalars + Array(repeating: fill, count: missing - left))
  }
}
