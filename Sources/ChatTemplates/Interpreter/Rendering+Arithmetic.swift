import Glibc

extension Rendering {
  /// Python's operators on numbers, strings and lists.
  func arithmetic(_ symbol: Operation.Operator, _ left: Value, _ right: Value) throws(Problem)
    -> Value
  {
    if case .modulo = symbol, case .string(let format) = left {
      return .string(try percentFormat(format, right))
    }
    if case .undefined(let missing) = left { throw missing.problem }
    if case .undefined(let missing) = right { throw missing.problem }
    if let left = left.integer, let right = right.integer {
      return try integers(symbol, left, right)
    }
    if let left = left.number, let right = right.number {
      return .float(try floats(symbol, left, right))
    }
    switch symbol {
    case .add: if let value = try joined(left, right) { return value }
    case .multiply:
      if let count = right.integer, let value = try repeated(left, count) { return value }
      if let count = left.integer, let value = try repeated(right, count) { return value }
    default: break
    }
    throw .value(
      "unsupported operand type(s) for \(symbol.rawValue): "
        + "'\(left.typeName)' and '\(right.typeName)'")
  }

  private func joined(_ left: Value, _ right: Value) throws(Problem) -> Value? {
    switch (left, right) {
    case (.string(let left), .string(let right)):
      guard left.isSafe || right.isSafe else {
        try charge(characters: left.count + right.count)
        return .string(left + right)
      }
      let (first, second) = (try escaped(left), try escaped(right))
      return .string(Text(first.scalars + second.scalars, isSafe: true))
    case (.list(let left), .list(let right)): return try list(left.values + right.values)
    case (.tuple(let left), .tuple(let right)): return try tuple(left.values + right.values)
    default: return nil
    }
  }

  private func repeated(_ value: Value, _ count: Int) throws(Problem) -> Value? {
    switch value {
    case .string(let text): return .string(try repeated(text, count))
    case .list(let items): return try list(try repeated(items.values, count))
    case .tuple(let items): return try tuple(try repeated(items.values, count))
    default: return nil
    }
  }

  private func repeated(_ values: [Value], _ count: Int) throws(Problem) -> [Value] {
    guard count > 0, !values.isEmpty else { return [] }
    let (total, overflow) = values.count.multipliedReportingOverflow(by: count)
    // `list` charges again: what is refused here would not even fit memory.
    guard !overflow, total <= limits.bytes / 16 else {
      try charge(bytes: Int.max / 2)
      return []
    }
    try charge(bytes: 16 * total)
    return Array(repeatElement(values, count: count).joined())
  }

  func negated(_ value: Value) throws(Problem) -> Value {
    switch value {
    case .undefined(let missing): throw missing.problem
    case .float(let value): return .float(-value)
    default:
      guard let integer = value.integer else {
        throw .value("bad operand type for unary -: '\(value.typeName)'")
      }
      return .integer(try checked(0.subtractingReportingOverflow(integer)))
    }
  }

  private func checked(_ result: (partialValue: Int, overflow: Bool)) throws(Problem) -> Int {
    guard !result.overflow else { throw Problem(.limit, "an integer does not fit 64 bits") }
    return result.partialValue
  }

  private func integers(_ symbol: Operation.Operator, _ left: Int, _ right: Int) throws(Problem)
    -> Value
  {
    switch symbol {
    case .add: return .integer(try checked(left.addingReportingOverflow(right)))
    case .subtract: return .integer(try checked(left.subtractingReportingOverflow(right)))
    case .multiply: return .integer(try checked(left.multipliedReportingOverflow(by: right)))
    case .divide:
      guard right != 0 else { throw .value("division by zero") }
      return .float(Double(left) / Double(right))
    case .floorDivide:
      guard right != 0 else { throw .value("integer division or modulo by zero") }
      let quotient = try checked(left.dividedReportingOverflow(by: right))
      // Towards minus infinity, where Swift goes towards zero.
      let isInexact = quotient &* right != left
      return .integer(isInexact && (left < 0) != (right < 0) ? quotient - 1 : quotient)
    case .modulo:
      guard right != 0 else { throw .value("integer modulo by zero") }
      let rest = left.remainderReportingOverflow(dividingBy: right).partialValue
      return .integer(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest)
    case .power:
      guard right >= 0 else {
        guard left != 0 else { throw .value("0.0 cannot be raised to a negative power") }
        return .float(pow(Double(left), Double(right)))
      }
      return .integer(try power(left, right))
    }
  }

  private func power(_ base: Int, _ exponent: Int) throws(Problem) -> Int {
    var result = 1
    var square = base
    var rest = exponent
    while rest > 0 {
      if rest & 1 == 1 { result = try checked(result.multipliedReportingOverflow(by: square)) }
      rest >>= 1
      if rest > 0 { square = try checked(square.multipliedReportingOverflow(by: square)) }
    }
    return result
  }

  private func floats(_ symbol: Operation.Operator, _ left: Double, _ right: Double)
    throws(Problem) -> Double
  {
    switch symbol {
    case .add: return left + right
    case .subtract: return left - right
    case .multiply: return left * right
    case .divide:
      guard right != 0 else { throw .value("float division by zero") }
      return left / right
    case .floorDivide:
      guard right != 0 else { throw .value("float floor division by zero") }
      let rest = modulo(left, right)
      let quotient = (left - rest) / right
      let whole = floor(quotient)
      return quotient - whole > 0.5 ? whole + 1 : whole
    case .modulo:
      guard right != 0 else { throw .value("float modulo") }
      return modulo(left, right)
    case .power:
      guard left != 0 || right >= 0 else {
        throw .value("0.0 cannot be raised to a negative power")
      }
      let result = pow(left, right)
      if result.isInfinite, left.isFinite, right.isFinite {
        throw .value("(34, 'Numerical result out of range')")
      }
      return result
    }
  }

  /// The remainder with the sign of the divisor.
  private func modulo(_ left: Double, _ right: Double) -> Double {
    let rest = fmod(left, right)
    if rest == 0 { return right < 0 ? -0.0 : 0.0 }
    return (rest < 0) != (right < 0) ? rest + right : rest
  }
}
