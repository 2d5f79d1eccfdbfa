extension Rendering {
  func evaluate(_ expression: Expression, _ scope: Scope) throws(Problem) -> Value {
    try step()
    switch expression {
    case .none: return .none
    case .boolean(let value): return .boolean(value)
    case .integer(let value): return .integer(value)
    case .float(let value): return .float(value)
    case .string(let text): return .string(text)
    case .name(let name):
      if let value = scope.lookup(name) ?? global(name) { return value }
      return .undefined(Missing("'\(name)' is undefined"))
    default: break
    }
    try enter()
    let value = try evaluateCompound(expression, scope)
    leave()
    return value
  }

  private func evaluateCompound(_ expression: Expression, _ scope: Scope) throws(Problem) -> Value {
    switch expression {
    case .postfix(let base, let suffixes):
      var value = try evaluate(base, scope)
      for suffix in suffixes { value = try apply(suffix, to: value, scope) }
      return value
    case .and(let terms):
      var value = Value.none
      for term in terms {
        value = try evaluate(term, scope)
        if !value.isTrue { break }
      }
      return value
    case .or(let terms):
      var value = Value.none
      for term in terms {
        value = try evaluate(term, scope)
        if value.isTrue { break }
      }
      return value
    case .not(let operand): return .boolean(!(try evaluate(operand, scope).isTrue))
    case .compare(let first, let rest, let start): return try compare(first, rest, start, scope)
    case .arithmetic(let first, let rest):
      var value = try evaluate(first, scope)
      for operation in rest {
        let operand = try evaluate(operation.operand, scope)
        line = operation.line
        value = try arithmetic(operation.symbol, value, operand)
      }
      return value
    case .concatenate(let parts): return try concatenate(parts, scope)
    case .conditional(let value, let condition, let otherwise):
      if try evaluate(condition, scope).isTrue { return try evaluate(value, scope) }
      if let otherwise { return try evaluate(otherwise, scope) }
      return .undefined(
        Missing("the inline if-expression was false and has no else"))
    default: return try evaluateLiteral(expression, scope)
    }
  }

  private func evaluateLiteral(_ expression: Expression, _ scope: Scope) throws(Problem) -> Value {
    switch expression {
    case .list(let items): return try list(try evaluate(items, scope))
    case .tuple(let items): return try tuple(try evaluate(items, scope))
    case .dictionary(let entries):
      var values: [(key: Value, value: Value)] = []
      for (key, value) in entries {
        values.append((try evaluate(key, scope), try evaluate(value, scope)))
      }
      return try mapping(values)
    case .negate(let operand): return try negated(try evaluate(operand, scope))
    case .positive(let operand):
      let value = try evaluate(operand, scope)
      if case .undefined(let missing) = value { throw missing.problem }
      if case .float = value { return value }
      guard let integer = value.integer else {
        throw .value("bad operand type for unary +: '\(value.typeName)'")
      }
      return .integer(integer)
    default: return .none
    }
  }

  private func evaluate(_ expressions: [Expression], _ scope: Scope) throws(Problem) -> [Value] {
    var values: [Value] = []
    values.reserveCapacity(expressions.count)
    for expression in expressions { values.append(try evaluate(expression, scope)) }
    return values
  }

  private func concatenate(_ parts: [Expression], _ scope: Scope) throws(Problem) -> Value {
    var result: [Scalar] = []
    for part in parts {
      let piece = try text(try evaluate(part, scope))
      try charge(characters: piece.count)
      result.append(contentsOf: piece.scalars)
    }
    return .string(Text(result))
  }

  private func compare(
    _ first: Expression, _ rest: [Comparison], _ start: Int, _ scope: Scope
  ) throws(Problem) -> Value {
    var left = try evaluate(first, scope)
    for comparison in rest {
      let right = try evaluate(comparison.operand, scope)
      line = start
      guard try holds(comparison.relation, left, right) else { return .boolean(false) }
      left = right
    }
    return .boolean(true)
  }

  private func holds(_ relation: Comparison.Relation, _ left: Value, _ right: Value)
    throws(Problem) -> Bool
  {
    switch relation {
    case .equal: try areEqual(left, right)
    case .notEqual: !(try areEqual(left, right))
    case .less: try isLess(left, right, "<")
    case .greater: try isLess(right, left, ">", swapped: true)
    case .lessOrEqual: try isLessOrEqual(left, right, "<=")
    case .greaterOrEqual: try isLessOrEqual(right, left, ">=", swapped: true)
    case .contained: try contains(right, left)
    case .notContained: !(try contains(right, left))
    }
  }

  // MARK: Suffixes

  func apply(_ suffix: Suffix, to value: Value, _ scope: Scope) throws(Problem) -> Value {
    try step()
    line = suffix.line
    switch suffix.kind {
    case .attribute(let name): return try attribute(name, of: value)
    case .item(let key): return try item(try evaluate(key, scope), of: value)
    case .slice(let start, let stop, let stride):
      return try slice(
        value, try bound(start, scope), try bound(stop, scope), try bound(stride, scope))
    case .call(let list):
      let arguments = try evaluate(list, scope)
      line = suffix.line
      return try call(value, arguments)
    case .filter(let name, let list):
      let arguments = try evaluate(list, scope)
      line = suffix.line
      return try filter(name, value, arguments)
    case .test(let name, let list, let isNegated):
      return .boolean(try test(name, value, try evaluate(list, scope)) != isNegated)
    }
  }

  private func bound(_ expression: Expression?, _ scope: Scope) throws(Problem) -> Int? {
    guard let expression else { return nil }
    let value = try evaluate(expression, scope)
    if value.isNone { return nil }
    guard let integer = value.integer else {
      if case .undefined(let missing) = value { throw missing.problem }
      throw .value("slice indices must be integers or None, not '\(value.typeName)'")
    }
    return integer
  }

  func evaluate(_ list: ArgumentList, _ scope: Scope) throws(Problem) -> Arguments {
    var arguments = Arguments(try evaluate(list.positional, scope))
    for (name, value) in list.named { arguments.named.append((name, try evaluate(value, scope))) }
    if let unpacked = list.unpackedList {
      let more = try elements(of: try evaluate(unpacked, scope))
      try charge(bytes: 16 * more.count)
      arguments.positional += more
    }
    if let unpacked = list.unpackedDictionary {
      let value = try evaluate(unpacked, scope)
      guard case .mapping(let mapping) = value else {
        throw .value("the argument behind ** must be a dict, not '\(value.typeName)'")
      }
      try charge(bytes: 32 * mapping.count)
      for (key, value) in mapping.entries {
        guard let name = key.string else { throw .value("keywords must be strings") }
        guard !list.named.contains(where: { $0.name == name }) else {
          throw .value("got multiple values for the argument '\(name.string)'")
        }
        arguments.named.append((name, value))
      }
    }
    return arguments
  }

  func call(_ function: Value, _ arguments: Arguments) throws(Problem) -> Value {
    switch function {
    case .undefined(let missing): throw missing.problem
    case .object(let object):
      try enter()
      let value = try object.call(arguments, self)
      leave()
      return value
    default: throw .value("'\(function.typeName)' object is not callable")
    }
  }

  func filter(_ name: String, _ value: Value, _ arguments: Arguments) throws(Problem) -> Value {
    guard let filter = Filters.all[name] else {
      throw Problem(
        .unsupported, "no filter named '\(name)'",
        remedy: Filters.refused[name] ?? "Jinja has none of this name")
    }
    if let text = value.string { try step(text.count / 16) }
    return try filter(value, arguments, self)
  }

  func test(_ name: String, _ value: Value, _ arguments: Arguments) throws(Problem) -> Bool {
    guard let test = Tests.all[name] else {
      throw Problem(
        .unsupported, "no test named '\(name)'", remedy: "Jinja has none of this name")
    }
    return try test(value, arguments, self)
  }
}
