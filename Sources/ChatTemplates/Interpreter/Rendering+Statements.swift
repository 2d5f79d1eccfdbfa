/// How a body ended.
enum Flow {
  case normal
  case breakLoop
  case continueLoop
}

extension Rendering {
  func execute(_ statements: [Statement], _ scope: Scope) throws(Problem) -> Flow {
    for statement in statements {
      try step()
      line = statement.line
      switch statement.kind {
      case .text(let text): try write(text)
      case .output(let expression): try write(try text(try evaluate(expression, scope)))
      case .breakLoop: return .breakLoop
      case .continueLoop: return .continueLoop
      default:
        let flow = try executeCompound(statement, scope)
        if flow != .normal { return flow }
      }
    }
    return .normal
  }

  private func executeCompound(_ statement: Statement, _ scope: Scope) throws(Problem) -> Flow {
    try enter()
    var flow = Flow.normal
    switch statement.kind {
    case .conditional(let branches, let otherwise):
      flow = try executeConditional(branches, otherwise, scope)
    case .loop(let loop):
      flow = try run(loop, over: try evaluate(loop.sequence, scope), scope, depth: 0)
    case .set(let target, let expression):
      try assign(target, try evaluate(expression, scope), scope)
    case .setBlock(let target, let filters, let body):
      flow = try executeCapturing(body, filters, scope) { (value) throws(Problem) in
        try assign(target, value, scope)
      }
    case .filter(let filters, let body):
      flow = try executeCapturing(body, filters, scope) { (value) throws(Problem) in
        try write(try text(value))
      }
    case .macro(let macro):
      try charge(bytes: 128)
      scope.set(macro.name, .object(Macro(macro, scope, self)))
    case .call(let call, let macro): try executeCall(call, macro, scope)
    case .with(let values, let body):
      let inner = Scope(parent: scope)
      for (target, value) in values { try assign(target, try evaluate(value, scope), inner) }
      flow = try execute(body, inner)
    case .scope(let body): flow = try execute(body, Scope(parent: scope))
    case .block(let block): _ = try execute(block.body, Scope(parent: scope))
    case .text, .output, .breakLoop, .continueLoop: break
    }
    leave()
    return flow
  }

  private func executeConditional(
    _ branches: [(condition: Expression, body: [Statement])], _ otherwise: [Statement],
    _ scope: Scope
  ) throws(Problem) -> Flow {
    for (condition, body) in branches where try evaluate(condition, scope).isTrue {
      return try execute(body, scope)
    }
    return try execute(otherwise, scope)
  }

  /// Runs a body in a scope of its own and hands its text through filters.
  private func executeCapturing(
    _ body: [Statement], _ filters: [Suffix], _ scope: Scope,
    _ use: (Value) throws(Problem) -> Void
  ) throws(Problem) -> Flow {
    var flow = Flow.normal
    let written = try capture { () throws(Problem) in
      flow = try execute(body, Scope(parent: scope))
    }
    // A body that leaves its loop gives nothing.
    guard flow == .normal else { return flow }
    var value = Value.string(written)
    for filter in filters { value = try apply(filter, to: value, scope) }
    try use(value)
    return .normal
  }

  private func executeCall(_ call: Expression, _ macro: MacroStatement, _ scope: Scope)
    throws(Problem)
  {
    guard case .postfix(let base, let suffixes) = call, let last = suffixes.last,
      case .call(let list) = last.kind
    else { throw Problem(.syntax, "'call' needs the call of a macro") }
    var function = try evaluate(base, scope)
    for suffix in suffixes.dropLast() { function = try apply(suffix, to: function, scope) }
    var arguments = try evaluate(list, scope)
    try charge(bytes: 128)
    arguments.named.append(("caller", .object(Macro(macro, scope, self))))
    line = last.line
    try write(try text(try self.call(function, arguments)))
  }

  // MARK: Assignment

  func assign(_ target: Target, _ value: Value, _ scope: Scope) throws(Problem) {
    switch target {
    case .name(let name): scope.set(name, value)
    case .attribute(let name, let attribute):
      guard case .object(let object)? = scope.lookup(name), let namespace = object as? Namespace
      else {
        throw .value("cannot assign attribute '\(attribute.string)' on non-namespace object")
      }
      try charge(bytes: 32)
      namespace.set(attribute, value)
    case .tuple(let targets):
      let values = try elements(of: value)
      guard values.count == targets.count else {
        throw .value(
          values.count < targets.count
            ? "not enough values to unpack (expected \(targets.count), got \(values.count))"
            : "too many values to unpack (expected \(targets.count))")
      }
      for (target, value) in zip(targets, values) { try assign(target, value, scope) }
    }
  }
}
