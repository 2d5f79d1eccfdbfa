/// A value with behaviour of its own: functions, macros, iterators, `loop`, namespaces.
class Object {
  /// Containers nested inside; see `Value.depth`.
  let depth: Int

  init(depth: Int = 1) { self.depth = depth }

  var typeName: String { "object" }
  var isTrue: Bool { true }
  var isCallable: Bool { false }
  /// What `repr` gives.
  var representation: String { "<\(typeName) object>" }

  /// An attribute, or nil where there is none.
  func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? { nil }

  /// The result of `object[key]`, or nil where the key is not there.
  func item(_ key: Value, _ rendering: Rendering) throws(Problem) -> Value? { nil }

  func call(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    throw .value("'\(typeName)' object is not callable")
  }

  /// All elements, or nil for what cannot be iterated.
  func elements(_ rendering: Rendering) throws(Problem) -> [Value]? { nil }

  /// `len`, or nil for what has none.
  var length: Int? { nil }

  /// Whether Jinja's test `sequence` holds.
  var isSequence: Bool { false }
  var isIterable: Bool { false }
}

/// What Python's generators are: elements that can be taken once, in order.
final class Iterator: Object {
  private let kind: String
  private var remaining: ArraySlice<Value>

  init(_ kind: String, _ values: [Value], depth: Int) {
    self.kind = kind
    remaining = values[...]
    super.init(depth: depth)
  }

  override var typeName: String { kind }
  override var isIterable: Bool { true }

  override func elements(_ rendering: Rendering) throws(Problem) -> [Value]? {
    defer { remaining = [] }
    return Array(remaining)
  }

  /// The next element alone, as `first` takes it.
  func next() -> Value? { remaining.popFirst() }
}

/// `dict.keys()`, `.values()` and `.items()`.
final class MappingView: Object {
  private let kind: String
  private let values: [Value]

  init(_ kind: String, _ values: [Value], depth: Int) {
    self.kind = kind
    self.values = values
    super.init(depth: depth)
  }

  override var typeName: String { "dict_\(kind)" }
  override var isTrue: Bool { !values.isEmpty }
  override var isIterable: Bool { true }
  override var length: Int? { values.count }
  override func elements(_ rendering: Rendering) throws(Problem) -> [Value]? { values }
}

/// Python's `range`.
final class NumberRange: Object {
  let start: Int
  let stop: Int
  let stride: Int
  let count: Int

  init(start: Int, stop: Int, stride: Int) {
    self.start = start
    self.stop = stop
    self.stride = stride
    let span =
      stride > 0
      ? stop.subtractingReportingOverflow(start) : start.subtractingReportingOverflow(stop)
    let isEmpty = stride > 0 ? stop <= start : stop >= start
    // An overflowing span is longer than any range that is allowed.
    count =
      isEmpty
      ? 0 : span.overflow ? Int.max : Int((UInt(span.partialValue) - 1) / stride.magnitude) + 1
    super.init(depth: 1)
  }

  override var typeName: String { "range" }
  override var isTrue: Bool { count > 0 }
  override var representation: String {
    stride == 1 ? "range(\(start), \(stop))" : "range(\(start), \(stop), \(stride))"
  }
  override var length: Int? { count }
  override var isSequence: Bool { true }
  override var isIterable: Bool { true }

  func value(at index: Int) -> Value { .integer(start + index * stride) }

  override func elements(_ rendering: Rendering) throws(Problem) -> [Value]? {
    try rendering.charge(bytes: 16 * count)
    return (0..<count).map(value)
  }

  override func item(_ key: Value, _ rendering: Rendering) throws(Problem) -> Value? {
    guard let index = key.integer else { return nil }
    let at = index < 0 ? index + count : index
    return (0..<count).contains(at) ? value(at: at) : nil
  }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    switch name {
    case "start": .integer(start)
    case "stop": .integer(stop)
    case "step": .integer(stride)
    default: nil
    }
  }
}

/// A function of ours, or a method together with what it was taken from.
final class Function: Object {
  typealias Body = (Arguments, Rendering) throws(Problem) -> Value

  let name: String
  private let body: Body

  init(_ name: String, depth: Int = 1, _ body: @escaping Body) {
    self.name = name
    self.body = body
    super.init(depth: depth)
  }

  override var typeName: String { "builtin_function_or_method" }
  override var isCallable: Bool { true }
  override var representation: String { "<built-in function \(name)>" }

  override func call(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    try body(arguments, rendering)
  }
}
