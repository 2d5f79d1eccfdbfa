/// The variable `loop`: where a loop is, and its elements as far as they were asked for.
///
/// A filter (`for x in list if …`) is asked element by element, since a body may change what it
/// looks at; `loop.last`, `nextitem` and `length` look ahead.
final class LoopState: Object, Breakable {
  private let statement: LoopStatement
  private let scope: Scope
  private let source: [Value]
  private var sourceIndex = 0
  /// Elements that passed the filter.
  private var passed: [Value] = []
  private let level: Int
  private(set) var index = -1
  private var lastChanged: [Value]?

  init(_ statement: LoopStatement, _ scope: Scope, _ source: [Value], level: Int, depth: Int) {
    self.statement = statement
    self.scope = scope
    self.source = source
    self.level = level
    super.init(depth: depth)
  }

  override var typeName: String { "LoopContext" }
  override var isCallable: Bool { true }
  override var isIterable: Bool { true }

  func breakReferences() { lastChanged = nil }

  /// Goes on to the next element.
  func advance(_ rendering: Rendering) throws(Problem) -> Value? {
    index += 1
    return try element(at: index, rendering)
  }

  private func element(at index: Int, _ rendering: Rendering) throws(Problem) -> Value? {
    guard let filter = statement.filter else {
      return source.indices.contains(index) ? source[index] : nil
    }
    while passed.count <= index, sourceIndex < source.count {
      let value = source[sourceIndex]
      sourceIndex += 1
      try rendering.step()
      let inner = Scope(parent: scope)
      try rendering.assign(statement.target, value, inner)
      if try rendering.evaluate(filter, inner).isTrue { passed.append(value) }
    }
    return passed.indices.contains(index) ? passed[index] : nil
  }

  private func count(_ rendering: Rendering) throws(Problem) -> Int {
    guard statement.filter != nil else { return source.count }
    _ = try element(at: Int.max - 1, rendering)
    return passed.count
  }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    switch name {
    case "index": return .integer(index + 1)
    case "index0": return .integer(index)
    case "revindex": return .integer(try count(rendering) - index)
    case "revindex0": return .integer(try count(rendering) - index - 1)
    case "first": return .boolean(index == 0)
    case "last": return .boolean(try element(at: index + 1, rendering) == nil)
    case "length": return .integer(try count(rendering))
    case "depth": return .integer(level + 1)
    case "depth0": return .integer(level)
    case "previtem":
      guard index > 0 else { return .undefined(Missing("there is no previous item")) }
      return try element(at: index - 1, rendering)
    case "nextitem":
      return try element(at: index + 1, rendering)
        ?? .undefined(Missing("there is no next item"))
    case "cycle": return .object(Function("cycle", depth: depth + 1, cycle))
    case "changed": return .object(Function("changed", depth: depth + 1, changed))
    default: return nil
    }
  }

  private func cycle(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    guard !arguments.positional.isEmpty else { throw .value("no items for cycling given") }
    return arguments.positional[index % arguments.positional.count]
  }

  private func changed(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    let new = arguments.positional
    if let lastChanged, lastChanged.count == new.count {
      var isSame = true
      for (left, right) in zip(lastChanged, new) where isSame {
        isSame = try rendering.areEqual(left, right)
      }
      if isSame { return .boolean(false) }
    }
    if lastChanged == nil { rendering.keep(self) }
    lastChanged = new
    return .boolean(true)
  }

  /// `loop(children)` runs a recursive loop over other elements and gives its text.
  override func call(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    guard statement.isRecursive else {
      throw .value("the loop must have the 'recursive' marker to be called recursively")
    }
    let sequence = try arguments.bind("loop", ["iterable"], required: 1).value(0)
    let text = try rendering.capture { () throws(Problem) in
      _ = try rendering.run(statement, over: sequence, scope, depth: level + 1)
    }
    return .string(text)
  }
}

extension Rendering {
  func run(_ loop: LoopStatement, over sequence: Value, _ scope: Scope, depth: Int)
    throws(Problem) -> Flow
  {
    try enter()
    let elements = try elements(of: sequence)
    try charge(bytes: 64)
    try check(depth: sequence.depth + 1)
    let state = LoopState(loop, scope, elements, level: depth, depth: sequence.depth + 1)
    // As in Jinja, 'else' runs unless some round came to its end.
    var isUnfinished = true
    var flow = Flow.normal
    while let element = try state.advance(self) {
      try step(4)
      let inner = Scope(parent: scope)
      inner.set("loop", .object(state))
      try assign(loop.target, element, inner)
      let ended = try execute(loop.body, inner)
      if ended == .breakLoop { break }
      if ended == .normal { isUnfinished = false }
    }
    if isUnfinished { flow = try execute(loop.otherwise, Scope(parent: scope)) }
    leave()
    return flow
  }
}
