/// A macro, or the body of a `call` block as its `caller`: a function that gives text.
final class Macro: Object {
  private let statement: MacroStatement
  private let scope: Scope

  init(_ statement: MacroStatement, _ scope: Scope, _ rendering: Rendering) {
    self.statement = statement
    self.scope = scope
    super.init()
    scope.keep(rendering)
  }

  override var typeName: String { "Macro" }
  override var isCallable: Bool { true }
  override var representation: String { "<Macro '\(statement.name)'>" }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    switch name {
    case "name": .text(statement.name)
    case "arguments": try rendering.tuple(statement.parameters.map { .text($0.name) })
    case "catch_kwargs": .boolean(statement.takesNamed)
    case "catch_varargs": .boolean(statement.takesPositional)
    case "caller": .boolean(statement.takesCaller)
    default: nil
    }
  }

  override func call(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    try rendering.enter()
    try rendering.charge(bytes: 128)
    let inner = Scope(parent: scope)
    let line = rendering.line
    try assign(arguments, inner, rendering)
    let text = try rendering.capture { () throws(Problem) in
      _ = try rendering.execute(statement.body, inner)
    }
    rendering.line = line
    rendering.leave()
    return .string(text)
  }

  private func assign(_ arguments: Arguments, _ inner: Scope, _ rendering: Rendering)
    throws(Problem)
  {
    let parameters = statement.parameters
    var named = arguments.named
    func take(_ name: String) -> Value? {
      guard let at = named.firstIndex(where: { $0.name == Text(name) }) else { return nil }
      return named.remove(at: at).value
    }
    for (at, parameter) in parameters.enumerated() {
      if at < arguments.positional.count {
        inner.set(parameter.name, arguments.positional[at])
      } else if let value = take(parameter.name) {
        inner.set(parameter.name, value)
      } else if let fallback = parameter.fallback {
        inner.set(parameter.name, try rendering.evaluate(fallback, inner))
      } else {
        inner.set(
          parameter.name,
          .undefined(Missing("parameter '\(parameter.name)' was not provided")))
      }
    }
    if statement.takesCaller, !parameters.contains(where: { $0.name == "caller" }) {
      inner.set("caller", take("caller") ?? .undefined(Missing("no caller defined")))
    }
    if statement.takesNamed {
      inner.set("kwargs", try rendering.mapping(named.map { (.string($0.name), $0.value) }))
    } else if let extra = named.first {
      throw .value("macro '\(statement.name)' takes no keyword argument '\(extra.name.string)'")
    }
    let extra = arguments.positional.dropFirst(parameters.count)
    if statement.takesPositional {
      inner.set("varargs", try rendering.tuple(Array(extra)))
    } else if !extra.isEmpty {
      throw .value(
        "macro '\(statement.name)' takes not more than \(parameters.count) argument(s)")
    }
  }
}

/// `namespace(…)`: the one thing whose attributes can be set, from any scope.
final class Namespace: Object, Breakable {
  private var members: [(name: Text, value: Value)] = []

  init(_ rendering: Rendering) {
    super.init()
    rendering.keep(self)
  }

  override var typeName: String { "Namespace" }

  func set(_ name: Text, _ value: Value) {
    if let at = members.firstIndex(where: { $0.name == name }) {
      members[at].value = value
    } else {
      members.append((name, value))
    }
  }

  /// The attributes as a dict, for `repr`.
  func contents(_ rendering: Rendering) throws(Problem) -> Value {
    try rendering.mapping(members.map { (.string($0.name), $0.value) })
  }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    members.first { $0.name == name }?.value
  }

  func breakReferences() { members = [] }
}
