/// What a template computes with: Python's values, as far as templates can reach them.
enum Value {
  /// A name, attribute or item that is not there, and the sentence for whoever needs it.
  case undefined(Missing)
  case none
  case boolean(Bool)
  case integer(Int)
  case float(Double)
  case string(Text)
  case list(Items)
  case tuple(Items)
  case mapping(Mapping)
  case object(Object)

  static func text(_ string: String) -> Value { .string(Text(string)) }
}

/// Why something is undefined.
final class Missing: Sendable {
  let problem: Problem
  init(_ problem: Problem) { self.problem = problem }
  convenience init(_ message: String) { self.init(Problem(.undefined, message)) }
}

/// The elements of a list or tuple; they never change.
final class Items {
  let values: [Value]
  /// How many containers are nested in each other here, this one included.
  let depth: Int

  /// Only `Rendering.items` checks the depth; elements must be plain or few levels deep.
  init(_ values: [Value], depth: Int) {
    self.values = values
    self.depth = depth
  }
}

extension Value {
  /// Nesting of containers, which bounds every recursion over values.
  var depth: Int {
    switch self {
    case .list(let items), .tuple(let items): items.depth
    case .mapping(let mapping): mapping.depth
    case .object(let object): object.depth
    default: 0
    }
  }

  var isUndefined: Bool {
    if case .undefined = self { return true }
    return false
  }

  var isNone: Bool {
    if case .none = self { return true }
    return false
  }

  var string: Text? {
    if case .string(let text) = self { return text }
    return nil
  }

  /// Booleans count as 0 and 1, as in Python.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .boolean(let value): value ? 1 : 0
    default: nil
    }
  }

  var number: Double? {
    if case .float(let value) = self { return value }
    return integer.map(Double.init)
  }

  /// The name of Python's type, for messages.
  var typeName: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "NoneType"
    case .boolean: "bool"
    case .integer: "int"
    case .float: "float"
    case .string(let text): text.isSafe ? "Markup" : "str"
    case .list: "list"
    case .tuple: "tuple"
    case .mapping: "dict"
    case .object(let object): object.typeName
    }
  }

  /// How Jinja calls the value in its messages about attributes.
  var description: String { isNone ? "None" : "\(typeName) object" }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .boolean(let value): value
    case .integer(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let items), .tuple(let items): !items.values.isEmpty
    case .mapping(let mapping): mapping.count > 0
    case .object(let object): object.isTrue
    }
  }
}
