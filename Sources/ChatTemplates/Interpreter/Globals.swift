extension Rendering {
  /// A name that every template knows.
  func global(_ name: String) -> Value? {
    switch name {
    case "range": .object(Function(name, Globals.range))
    case "dict": .object(Function(name, Globals.dict))
    case "namespace": .object(Function(name, Globals.namespace))
    case "cycler": .object(Function(name, Globals.cycler))
    case "joiner": .object(Function(name, Globals.joiner))
    case "raise_exception": .object(Function(name, Globals.raise))
    case "strftime_now": .object(Function(name, Globals.now))
    default: nil
    }
  }
}

/// Jinja's global functions and those that chat templates are given besides.
enum Globals {
  static let maximumRange = 100_000

  static func range(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    let given = arguments.positional.count
    guard given > 0, arguments.named.isEmpty else { throw .value("range() needs 1 to 3 integers") }
    let bound = try arguments.bind("range", ["start", "stop", "step"])
    let start = given == 1 ? 0 : try bound.int(0)
    let stop = given == 1 ? try bound.int(0) : try bound.int(1)
    let stride = try bound.int(2, default: 1)
    guard stride != 0, stride != Int.min else {
      throw .value("range() arg 3 must not be zero")
    }
    let range = NumberRange(start: start, stop: stop, stride: stride)
    guard range.count <= maximumRange else {
      throw Problem(
        .limit, "a range of more than \(maximumRange) numbers",
        remedy: "The template counts without measure")
    }
    return .object(range)
  }

  static func dict(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    guard arguments.positional.count <= 1 else {
      throw .value("dict expected at most 1 argument, got \(arguments.positional.count)")
    }
    var entries: [(key: Value, value: Value)] = []
    switch arguments.positional.first {
    case .mapping(let mapping)?: entries = mapping.entries
    case let pairs?:
      for pair in try rendering.elements(of: pairs) {
        let parts = try rendering.elements(of: pair)
        guard parts.count == 2 else { throw .value("dict() needs pairs") }
        entries.append((parts[0], parts[1]))
      }
    case nil: break
    }
    for (name, value) in arguments.named { entries.append((.string(name), value)) }
    return try rendering.mapping(entries)
  }

  static func namespace(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    try rendering.charge(bytes: 128)
    let namespace = Namespace(rendering)
    guard case .mapping(let mapping) = try dict(arguments, rendering) else { return .none }
    for (key, value) in mapping.entries {
      namespace.set(try rendering.text(key), value)
    }
    return .object(namespace)
  }

  static func cycler(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    guard !arguments.positional.isEmpty else {
      throw .value("at least one item has to be provided")
    }
    let items = try rendering.items(arguments.positional)
    return .object(Cycler(items))
  }

  static func joiner(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    let separator = try arguments.bind("joiner", ["sep"])[0] ?? .string(", ")
    try rendering.check(depth: separator.depth + 1)
    return .object(Joiner(separator))
  }

  static func raise(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    let message = try arguments.bind("raise_exception", ["message"], required: 1).value(0)
    throw Problem(.raised, try rendering.text(message).string)
  }

  static func now(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    let format = try arguments.bind("strftime_now", ["format"], required: 1).text(0)
    let time = rendering.clock ?? CivilTime.now()
    return try rendering.string(Text(try time.formatted(format.string)))
  }
}

/// `cycler(…)`: its items in turn, over and over.
private final class Cycler: Object {
  private let items: Items
  private var at = 0

  init(_ items: Items) {
    self.items = items
    super.init(depth: items.depth + 1)
  }

  override var typeName: String { "Cycler" }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    switch name {
    case "current": items.values[at]
    case "next":
      .object(
        Function("next") { [self] (arguments, rendering) throws(Problem) in
          defer { at = (at + 1) % items.values.count }
          return items.values[at]
        })
    case "reset":
      .object(
        Function("reset") { [self] (arguments, rendering) throws(Problem) in
          at = 0
          return .none
        })
    default: nil
    }
  }
}

/// `joiner(sep)`: nothing on the first call, the separator on all others.
private final class Joiner: Object {
  private let separator: Value
  private var isUsed = false

  init(_ separator: Value) {
    self.separator = separator
    super.init(depth: separator.depth + 1)
  }

  override var typeName: String { "Joiner" }
  override var isCallable: Bool { true }

  override func call(_ arguments: Arguments, _ rendering: Rendering) throws(Problem) -> Value {
    defer { isUsed = true }
    return isUsed ? separator : .string("")
  }
}
