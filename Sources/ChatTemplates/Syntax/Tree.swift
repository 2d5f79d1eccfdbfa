/// An expression. Chains of one precedence are flat, so that a long one is not a deep tree.
indirect enum Expression: Sendable {
  case none
  case boolean(Bool)
  case integer(Int)
  case float(Double)
  case string(Text)
  case name(String)
  case list([Expression])
  case tuple([Expression])
  case dictionary([(key: Expression, value: Expression)])
  /// `value if condition else otherwise`; without `else` the rest is undefined.
  case conditional(value: Expression, condition: Expression, otherwise: Expression?)
  case or([Expression])
  case and([Expression])
  case not(Expression)
  case compare(Expression, [Comparison], line: Int)
  case concatenate([Expression])
  /// `first op operand op operand …`, from the left.
  case arithmetic(Expression, [Operation])
  case negate(Expression)
  case positive(Expression)
  /// A value and what is done to it, from the left: `.name`, `[key]`, `(…)`, `|filter`, `is test`.
  case postfix(Expression, [Suffix])

  /// What `{% call %}` expects.
  var isCall: Bool {
    if case .postfix(_, let suffixes) = self, case .call = suffixes.last?.kind { return true }
    return false
  }
}

struct Comparison: Sendable {
  enum Relation: Sendable {
    case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, contained, notContained
  }
  var relation: Relation
  var operand: Expression
}

struct Operation: Sendable {
  enum Operator: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "** or pow()"
  }
  var symbol: Operator
  var operand: Expression
  var line: Int
}

struct Suffix: Sendable {
  enum Kind: Sendable {
    case attribute(Text)
    case item(Expression)
    case slice(start: Expression?, stop: Expression?, stride: Expression?)
    case call(ArgumentList)
    case filter(String, ArgumentList)
    case test(String, ArgumentList, isNegated: Bool)
  }
  var kind: Kind
  var line: Int
}

struct ArgumentList: Sendable {
  var positional: [Expression] = []
  var named: [(name: Text, value: Expression)] = []
  /// `*list` and `**dict`.
  var unpackedList: Expression?
  var unpackedDictionary: Expression?
}

/// What a value is assigned to.
indirect enum Target: Sendable {
  case name(String)
  case attribute(namespace: String, Text)
  case tuple([Target])
}

struct Statement: Sendable {
  indirect enum Kind: Sendable {
    case text(Text)
    case output(Expression)
    case conditional([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(LoopStatement)
    case breakLoop
    case continueLoop
    case set(Target, Expression)
    case setBlock(Target, filters: [Suffix], body: [Statement])
    case macro(MacroStatement)
    case call(Expression, MacroStatement)
    case filter([Suffix], body: [Statement])
    case with([(target: Target, value: Expression)], body: [Statement])
    case scope([Statement])
    case block(BlockStatement)
  }
  var kind: Kind
  var line: Int
}

final class LoopStatement: Sendable {
  let target: Target
  let sequence: Expression
  let filter: Expression?
  let isRecursive: Bool
  let body: [Statement]
  let otherwise: [Statement]

  init(
    target: Target, sequence: Expression, filter: Expression?, isRecursive: Bool,
    body: [Statement], otherwise: [Statement]
  ) {
    self.target = target
    self.sequence = sequence
    self.filter = filter
    self.isRecursive = isRecursive
    self.body = body
    self.otherwise = otherwise
  }
}

final class MacroStatement: Sendable {
  let name: String
  let parameters: [(name: String, fallback: Expression?)]
  let body: [Statement]
  /// Whether the body speaks of `varargs`, `kwargs`, `caller`: only then it takes them.
  let takesPositional: Bool
  let takesNamed: Bool
  let takesCaller: Bool

  init(
    name: String, parameters: [(name: String, fallback: Expression?)], body: [Statement],
    mentioned: Set<String>
  ) {
    self.name = name
    self.parameters = parameters
    self.body = body
    takesPositional = mentioned.contains("varargs")
    takesNamed = mentioned.contains("kwargs")
    takesCaller = mentioned.contains("caller")
  }
}

final class BlockStatement: Sendable {
  let name: String
  let body: [Statement]

  init(name: String, body: [Statement]) {
    self.name = name
    self.body = body
  }
}
