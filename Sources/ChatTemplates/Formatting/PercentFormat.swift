extension Value {
  /// Whether `%` accepts this as a mapping of names that nobody asks for.
  fileprivate var mayStayUnused: Bool {
    switch self {
    case .undefined, .list, .mapping: true
    case .object(let object): object.isSequence
    case .none, .boolean, .integer, .float, .string, .tuple: false
    }
  }
}

extension Rendering {
  /// `format % values`.
  func percentFormat(_ format: Text, _ values: Value) throws(Problem) -> Text {
    var arguments: [Value]
    if case .tuple(let items) = values { arguments = items.values } else { arguments = [values] }
    var used = 0
    func take() throws(Problem) -> Value {
      guard used < arguments.count else { throw .value("not enough arguments for format string") }
      used += 1
      return arguments[used - 1]
    }
    var result: [Scalar] = []
    var rest = format.scalars[...]
    var usedNames = false
    try charge(characters: format.count)
    while let scalar = rest.popFirst() {
      guard scalar == "%" else {
        result.append(scalar)
        continue
      }
      if rest.first == "%" {
        rest.removeFirst()
        result.append("%")
        continue
      }
      var named: Value?
      if rest.first == "(" {
        guard let end = rest.firstIndex(of: ")") else { throw .value("incomplete format key") }
        guard case .mapping(let mapping) = values else { throw .value("format requires a mapping") }
        let name = Text(rest[(rest.startIndex + 1)..<end])
        guard let value = mapping[name] else { throw .value("no key '\(name.string)' to format") }
        named = value
        usedNames = true
        rest = rest[(end + 1)...]
      }
      var specification = FormatSpecification()
      specification.alignment = .right
      readFlags(&rest, &specification)
      if rest.first == "*" {
        rest.removeFirst()
        let width = try take()
        guard let width = width.integer, abs(width) <= FormatSpecification.maximumWidth else {
          throw .value("* wants a small integer")
        }
        specification.width = abs(width)
        if width < 0 { specification.alignment = .left }
      } else {
        specification.width = try FormatSpecification.number(&rest) ?? 0
      }
      if rest.first == "." {
        rest.removeFirst()
        specification.precision = try FormatSpecification.number(&rest) ?? 0
      }
      while let first = rest.first, first == "l" || first == "h" || first == "L" {
        rest.removeFirst()
      }
      guard let type = rest.popFirst() else { throw .value("incomplete format") }
      let value = if let named { named } else { try take() }
      let piece = try convert(type, value, specification)
      try charge(characters: piece.count)
      result.append(contentsOf: piece.scalars)
    }
    // What can be subscripted may be left unused, and whatever was named.
    if used < arguments.count, !usedNames, !values.mayStayUnused {
      throw .value("not all arguments converted during string formatting")
    }
    return Text(result, isSafe: format.isSafe)
  }

  private func readFlags(
    _ rest: inout ArraySlice<Scalar>, _ specification: inout FormatSpecification
  ) {
    while let first = rest.first {
      switch first {
      case "-": specification.alignment = .left
      case "0":
        if specification.alignment != .left {
          specification.fill = "0"
          specification.alignment = .behindSign
        }
      case "+": specification.sign = "+"
      case " ": if specification.sign != "+" { specification.sign = " " }
      case "#": specification.isAlternate = true
      default: return
      }
      rest.removeFirst()
    }
  }

  private func convert(_ type: Scalar, _ value: Value, _ given: FormatSpecification)
    throws(Problem) -> Text
  {
    var specification = given
    switch type {
    case "s", "r", "a":
      var text = type == "s" ? try text(value) : try representation(value)
      if type == "a" { text = Self.ascii(text) }
      specification.type = "s"
      if specification.alignment == .behindSign { specification.alignment = .right }
      specification.fill = " "
      return try specification.format(.string(Text(text.scalars)), self)
    case "c":
      if let text = value.string {
        guard text.count == 1 else { throw .value("%c requires int or char") }
        return specification.padded(text.scalars, specification.alignment ?? .right)
      }
      guard let scalar = value.integer.flatMap({ UInt32(exactly: $0) }).flatMap(Scalar.init) else {
        throw .value("%c requires int or char")
      }
      return specification.padded([scalar], specification.alignment ?? .right)
    case "d", "i", "u", "x", "X", "o":
      if case .undefined(let missing) = value { throw missing.problem }
      guard let number = try wholeNumber(value, type) else {
        throw .value("%\(type) format: a number is required, not \(value.typeName)")
      }
      let radix = type == "o" ? 8 : type == "x" || type == "X" ? 16 : 10
      var digits = String(number.magnitude, radix: radix, uppercase: type == "X")
      if let precision = specification.precision, digits.count < precision {
        digits = String(repeating: "0", count: precision - digits.count) + digits
      }
      let prefix = type == "o" ? "0o" : type == "x" ? "0x" : type == "X" ? "0X" : ""
      return specification.number(digits, isNegative: number < 0, prefix: prefix)
    case "e", "E", "f", "F", "g", "G":
      if case .undefined(let missing) = value { throw missing.problem }
      guard let number = value.number else {
        throw .value("must be real number, not \(value.typeName)")
      }
      specification.type = type
      return try specification.format(.float(number), self)
    default: throw .value("unsupported format character '\(type)'")
    }
  }

  private func wholeNumber(_ value: Value, _ type: Scalar) throws(Problem) -> Int? {
    if let integer = value.integer { return integer }
    guard case .float(let float) = value, type == "d" || type == "i" || type == "u" else {
      return nil
    }
    guard let integer = Int(exactly: float.rounded(.towardZero)) else {
      throw .value("cannot convert float to integer")
    }
    return integer
  }
}
