/// Jinja's tests by name: what may stand behind `is`.
enum Tests {
  typealias Test = @Sendable (Value, Arguments, Rendering) throws(Problem) -> Bool

  static let all: [String: Test] = {
    var all: [String: Test] = [:]
    for (name, holds) in kinds { all[name] = kind(name, holds) }
    all.merge(relations) { first, _ in first }
    all.merge(others) { first, _ in first }
    return all
  }()

  private static func kind(_ name: String, _ holds: @escaping @Sendable (Value) -> Bool) -> Test {
    { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind(name, [])
      return holds(value)
    }
  }

  /// Tests of the value alone.
  private static let kinds: [String: @Sendable (Value) -> Bool] = [
    "defined": { !$0.isUndefined },
    "undefined": { $0.isUndefined },
    "none": { $0.isNone },
    "boolean": { if case .boolean = $0 { true } else { false } },
    "true": { if case .boolean(true) = $0 { true } else { false } },
    "false": { if case .boolean(false) = $0 { true } else { false } },
    "integer": { if case .integer = $0 { true } else { false } },
    "float": { if case .float = $0 { true } else { false } },
    "number": { $0.number != nil },
    "string": { $0.string != nil },
    "mapping": { if case .mapping = $0 { true } else { false } },
    "escaped": { $0.string?.isSafe ?? false },
    "callable": {
      if case .object(let object) = $0 { object.isCallable } else { $0.isUndefined }
    },
    "iterable": {
      switch $0 {
      case .undefined, .string, .list, .tuple, .mapping: true
      case .object(let object): object.isIterable
      case .none, .boolean, .integer, .float: false
      }
    },
    "sequence": {
      switch $0 {
      case .undefined, .string, .list, .tuple, .mapping: true
      case .object(let object): object.isSequence
      case .none, .boolean, .integer, .float: false
      }
    },
  ]

  private static func relation(
    _ name: String,
    _ holds: @escaping @Sendable (Value, Value, Rendering) throws(Problem) -> Bool
  ) -> Test {
    { (value, arguments, rendering) throws(Problem) in
      try holds(value, try arguments.bind(name, ["other"], required: 1).value(0), rendering)
    }
  }

  /// Tests of the value and one argument, under all their names.
  private static let relations: [String: Test] = {
    let equal = relation("eq") { (left, right, rendering) throws(Problem) in
      try rendering.areEqual(left, right)
    }
    let notEqual = relation("ne") { (left, right, rendering) throws(Problem) in
      !(try rendering.areEqual(left, right))
    }
    let less = relation("lt") { (left, right, rendering) throws(Problem) in
      try rendering.isLess(left, right, "<")
    }
    let lessOrEqual = relation("le") { (left, right, rendering) throws(Problem) in
      try rendering.isLessOrEqual(left, right, "<=")
    }
    let greater = relation("gt") { (left, right, rendering) throws(Problem) in
      try rendering.isLess(right, left, ">", swapped: true)
    }
    let greaterOrEqual = relation("ge") { (left, right, rendering) throws(Problem) in
      try rendering.isLessOrEqual(right, left, ">=", swapped: true)
    }
    return [
      "eq": equal, "equalto": equal, "==": equal, "ne": notEqual, "!=": notEqual,
      "lt": less, "lessthan": less, "<": less, "le": lessOrEqual, "<=": lessOrEqual,
      "gt": greater, "greaterthan": greater, ">": greater, "ge": greaterOrEqual,
      ">=": greaterOrEqual,
      "in": relation("in") { (value, container, rendering) throws(Problem) in
        try rendering.contains(container, value)
      },
      "sameas": relation("sameas") { (left, right, rendering) throws(Problem) in
        try isSame(left, right)
      },
      "divisibleby": relation("divisibleby") { (value, divisor, rendering) throws(Problem) in
        try isZero(try rendering.arithmetic(.modulo, value, divisor))
      },
    ]
  }()

  private static let others: [String: Test] = [
    "even": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("even", [])
      return try isZero(try rendering.arithmetic(.modulo, value, .integer(2)))
    },
    "odd": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("odd", [])
      return try rendering.areEqual(
        try rendering.arithmetic(.modulo, value, .integer(2)), .integer(1))
    },
    "lower": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("lower", [])
      return try rendering.text(value).isLower
    },
    "upper": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("upper", [])
      return try rendering.text(value).isUpper
    },
    "filter": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("filter", [])
      return value.string.map { Filters.all[$0.string] != nil } ?? false
    },
    "test": { (value, arguments, rendering) throws(Problem) in
      _ = try arguments.bind("test", [])
      return value.string.map { Tests.all[$0.string] != nil } ?? false
    },
  ]

  private static func isZero(_ value: Value) throws(Problem) -> Bool { value.number == 0 }

  /// Python's `is`; equal numbers and strings of one type count as the same.
  private static func isSame(_ left: Value, _ right: Value) throws(Problem) -> Bool {
    switch (left, right) {
    case (.none, .none): true
    case (.boolean(let left), .boolean(let right)): left == right
    case (.integer(let left), .integer(let right)): left == right
    case (.float(let left), .float(let right)): left == right
    case (.string(let left), .string(let right)): left == right
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)): left === right
    case (.mapping(let left), .mapping(let right)): left === right
    case (.object(let left), .object(let right)): left === right
    case (.undefined(let left), .undefined(let right)): left === right
    default: false
    }
  }
}
