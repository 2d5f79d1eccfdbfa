extension Rendering {
  /// Python's `==`: numbers by value whatever their type, everything else by type and content.
  func areEqual(_ left: Value, _ right: Value) throws(Problem) -> Bool {
    try step()
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let left), .string(let right)):
      try step(min(left.count, right.count) / 64)
      return left == right
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      guard left.values.count == right.values.count else { return false }
      for (one, other) in zip(left.values, right.values) {
        guard try areEqual(one, other) else { return false }
      }
      return true
    case (.mapping(let left), .mapping(let right)):
      guard left.count == right.count else { return false }
      for (key, value) in left.entries {
        guard let other = right[try self.key(key)], try areEqual(value, other) else { return false }
      }
      return true
    case (.object(let left), .object(let right)):
      if let left = left as? NumberRange, let right = right as? NumberRange {
        return left.count == right.count
          && (left.count == 0
            || left.start == right.start && (left.count == 1 || left.stride == right.stride))
      }
      return left === right
    default: break
    }
    if let left = left.integer, let right = right.integer { return left == right }
    if let left = left.number, let right = right.number { return left == right }
    return false
  }

  /// Python's `<`.
  ///
  /// - Parameter swapped: the operands were exchanged; only the message needs to know.
  func isLess(_ left: Value, _ right: Value, _ sign: String = "<", swapped: Bool = false)
    throws(Problem) -> Bool
  {
    try step()
    switch (left, right) {
    case (.string(let left), .string(let right)):
      try step(min(left.count, right.count) / 64)
      return left < right
    case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
      for (one, other) in zip(left.values, right.values) where !(try areEqual(one, other)) {
        return try isLess(one, other, sign, swapped: swapped)
      }
      return left.values.count < right.values.count
    case (.undefined(let missing), _), (_, .undefined(let missing)): throw missing.problem
    default: break
    }
    if let left = left.integer, let right = right.integer { return left < right }
    if let left = left.number, let right = right.number { return left < right }
    let (first, second) = swapped ? (right, left) : (left, right)
    throw .value(
      "'\(sign)' not supported between instances of '\(first.typeName)' and '\(second.typeName)'")
  }

  func isLessOrEqual(_ left: Value, _ right: Value, _ sign: String, swapped: Bool = false)
    throws(Problem) -> Bool
  {
    if let left = left.number, let right = right.number, left.isNaN || right.isNaN { return false }
    return !(try isLess(right, left, sign, swapped: !swapped))
  }

  /// Python's `in`.
  func contains(_ container: Value, _ value: Value) throws(Problem) -> Bool {
    switch container {
    case .string(let text):
      guard let part = value.string else {
        if case .undefined(let missing) = value { throw missing.problem }
        throw .value(
          "'in <string>' requires string as left operand, not \(value.typeName)")
      }
      try step(text.count / 16)
      return text.contains(part)
    case .mapping(let mapping): return mapping[try key(value)] != nil
    default:
      if case .object(let object) = container, let range = object as? NumberRange {
        return try containsNumber(range, value)
      }
      guard case .some(let elements) = try elementsIfIterable(of: container) else {
        throw .value("argument of type '\(container.typeName)' is not iterable")
      }
      for element in elements where try areEqual(element, value) { return true }
      return false
    }
  }

  private func containsNumber(_ range: NumberRange, _ value: Value) throws(Problem) -> Bool {
    let integer: Int? =
      if case .float(let float) = value { Int(exactly: float) } else { value.integer }
    guard let integer, range.count > 0 else { return false }
    let distance = integer.subtractingReportingOverflow(range.start)
    guard !distance.overflow, distance.partialValue % range.stride == 0 else { return false }
    let index = distance.partialValue / range.stride
    return index >= 0 && index < range.count
  }

  // MARK: Elements

  func elementsIfIterable(of value: Value) throws(Problem) -> [Value]? {
    switch value {
    case .undefined: return []
    case .string(let text):
      try charge(bytes: 56 * text.count)
      return text.scalars.map { .string(Text([$0])) }
    case .list(let items), .tuple(let items): return items.values
    case .mapping(let mapping): return mapping.keyValues
    case .object(let object): return try object.elements(self)
    case .none, .boolean, .integer, .float: return nil
    }
  }

  /// All elements of something that can be iterated; characters of a string, keys of a dict.
  func elements(of value: Value) throws(Problem) -> [Value] {
    guard let elements = try elementsIfIterable(of: value) else {
      throw .value("'\(value.typeName)' object is not iterable")
    }
    try step(elements.count / 16)
    return elements
  }

  func length(of value: Value) throws(Problem) -> Int {
    switch value {
    case .undefined: return 0
    case .string(let text): return text.count
    case .list(let items), .tuple(let items): return items.values.count
    case .mapping(let mapping): return mapping.count
    case .object(let object):
      if let state = object as? LoopState {
        return try state.attribute("length", self)?.integer ?? 0
      }
      if let length = object.length { return length }
    case .none, .boolean, .integer, .float: break
    }
    throw .value("object of type '\(value.typeName)' has no len()")
  }
}
