extension Rendering {
  /// `format.format(*positional, **named)`; fields reach into values as the sandbox allows.
  func braceFormat(_ format: Text, _ arguments: Arguments) throws(Problem) -> Text {
    var counter = 0
    return try braceFormat(format, arguments, &counter, level: 0)
  }

  private func braceFormat(
    _ format: Text, _ arguments: Arguments, _ counter: inout Int, level: Int
  ) throws(Problem) -> Text {
    guard level < 3 else { throw .value("max string recursion exceeded") }
    var result: [Scalar] = []
    var at = 0
    let scalars = format.scalars
    try charge(characters: format.count)
    while at < scalars.count {
      let scalar = scalars[at]
      at += 1
      guard scalar == "{" || scalar == "}" else {
        result.append(scalar)
        continue
      }
      if at < scalars.count, scalars[at] == scalar {
        result.append(scalar)
        at += 1
        continue
      }
      guard scalar == "{" else { throw .value("single '}' encountered in format string") }
      let field = try fieldEnd(scalars, at)
      let piece = try replacement(
        Array(scalars[at..<field]), arguments, &counter, level: level)
      at = field + 1
      try charge(characters: piece.count)
      result.append(contentsOf: piece.scalars)
    }
    return Text(result, isSafe: format.isSafe)
  }

  private func fieldEnd(_ scalars: [Scalar], _ start: Int) throws(Problem) -> Int {
    var open = 1
    for at in start..<scalars.count {
      if scalars[at] == "{" { open += 1 }
      if scalars[at] == "}" { open -= 1 }
      if open == 0 { return at }
    }
    throw .value("expected '}' before end of string")
  }

  /// `[name][!conversion][:specification]`
  private func replacement(
    _ field: [Scalar], _ arguments: Arguments, _ counter: inout Int, level: Int
  ) throws(Problem) -> Text {
    var name = field[...]
    var conversion: Scalar?
    var specification = Text()
    var bracket = false
    for (at, scalar) in field.enumerated() {
      if scalar == "[" { bracket = true }
      if scalar == "]" { bracket = false }
      guard !bracket, scalar == ":" || scalar == "!" else { continue }
      name = field[..<at]
      var rest = field[at...]
      if scalar == "!" {
        rest.removeFirst()
        conversion = rest.popFirst()
      }
      if rest.first == ":" {
        specification = Text(rest.dropFirst())
      } else if !rest.isEmpty {
        throw .value("expected ':' after conversion specifier")
      }
      break
    }
    var value = try lookup(name, arguments, &counter)
    switch conversion {
    case nil: break
    case "s": value = .string(try text(value))
    case "r": value = .string(try representation(value))
    case "a": value = .string(Self.ascii(try representation(value)))
    default: throw .value("unknown conversion specifier")
    }
    let spelled = try braceFormat(specification, arguments, &counter, level: level + 1)
    return try FormatSpecification(spelled).format(value, self)
  }

  private func lookup(
    _ field: ArraySlice<Scalar>, _ arguments: Arguments, _ counter: inout Int
  ) throws(Problem) -> Value {
    let end = field.firstIndex { $0 == "." || $0 == "[" } ?? field.endIndex
    let first = Text(field[..<end])
    var value: Value
    if first.isEmpty || first.scalars.allSatisfy(\.isASCIIDigit) {
      let index = first.isEmpty ? counter : Int(first.string) ?? Int.max
      if first.isEmpty { counter += 1 }
      guard arguments.positional.indices.contains(index) else {
        throw .value("replacement index \(index) out of range for positional args tuple")
      }
      value = arguments.positional[index]
    } else {
      guard let named = arguments.named.first(where: { $0.name == first }) else {
        throw .value("no argument '\(first.string)' to format")
      }
      value = named.value
    }
    var rest = field[end...]
    while let sign = rest.popFirst() {
      let stop: ArraySlice<Scalar>.Index
      if sign == "[" {
        guard let close = rest.firstIndex(of: "]") else {
          throw .value("missing ']' in format string")
        }
        let key = Text(rest[..<close])
        value = try item(Int(key.string).map(Value.integer) ?? .string(key), of: value)
        stop = close + 1
      } else if sign == "." {
        stop = rest.firstIndex { $0 == "." || $0 == "[" } ?? rest.endIndex
        value = try attribute(Text(rest[..<stop]), of: value)
      } else {
        throw .value("only '.' or '[' may follow ']' in format field specifier")
      }
      rest = rest[stop...]
    }
    return value
  }
}
