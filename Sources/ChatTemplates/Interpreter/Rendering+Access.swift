extension Rendering {
  /// `value.name`: an attribute or method, or else the item of this name.
  func attribute(_ name: Text, of value: Value) throws(Problem) -> Value {
    if case .undefined(let missing) = value { throw missing.problem }
    if let found = try method(name, of: value) { return found }
    if case .mapping(let mapping) = value, let found = mapping[name] { return found }
    return missing(name, of: value)
  }

  /// `value[key]`: an item, or else the attribute of this name.
  func item(_ key: Value, of value: Value) throws(Problem) -> Value {
    switch value {
    case .undefined(let missing): throw missing.problem
    case .mapping(let mapping):
      switch key {
      case .list, .mapping: break
      default: if let found = mapping[try self.key(key)] { return found }
      }
    case .list(let items), .tuple(let items):
      if let index = key.integer, let at = position(index, items.values.count) {
        return items.values[at]
      }
    case .string(let text):
      if let index = key.integer, let at = position(index, text.count) {
        return .string(Text([text.scalars[at]], isSafe: text.isSafe))
      }
    case .object(let object): if let found = try object.item(key, self) { return found }
    case .none, .boolean, .integer, .float: break
    }
    if let name = key.string {
      return try method(name, of: value) ?? missing(name, of: value)
    }
    let shown = try representation(key).string.prefix(80)
    return .undefined(Missing("\(value.description) has no element \(shown)"))
  }

  private func position(_ index: Int, _ count: Int) -> Int? {
    let at = index < 0 ? index + count : index
    return (0..<count).contains(at) ? at : nil
  }

  private func missing(_ name: Text, of value: Value) -> Value {
    .undefined(Missing("'\(value.description)' has no attribute '\(name.string.prefix(80))'"))
  }

  /// A method or an object's own attribute; one that the sandbox forbids is undefined and says so
  /// when it is used.
  private func method(_ name: Text, of value: Value) throws(Problem) -> Value? {
    if case .object(let object) = value, let found = try object.attribute(name, self) {
      return found
    }
    let spelled = name.string
    if Methods.isForbidden(spelled, of: value) {
      return .undefined(
        Missing(
          Problem(
            .security,
            "access to attribute '\(spelled)' of '\(value.typeName)' object is unsafe",
            remedy: "Values of a template cannot be changed or looked into")))
    }
    return try Methods.bound(spelled, of: value)
  }

  // MARK: Slices

  func slice(_ value: Value, _ start: Int?, _ stop: Int?, _ stride: Int?) throws(Problem) -> Value {
    if stride == 0 { throw .value("slice step cannot be zero") }
    switch value {
    case .undefined(let missing): throw missing.problem
    case .string(let text):
      let picked = Slice(start, stop, stride, count: text.count)
      try charge(characters: picked.count)
      return .string(Text(picked.of(text.scalars), isSafe: text.isSafe))
    case .list(let items):
      return try list(Slice(start, stop, stride, count: items.values.count).of(items.values))
    case .tuple(let items):
      return try tuple(Slice(start, stop, stride, count: items.values.count).of(items.values))
    case .object(let object):
      guard let range = object as? NumberRange else { break }
      let picked = Slice(start, stop, stride, count: range.count)
      let first = range.start + picked.first * range.stride
      let step = range.stride * picked.stride
      return .object(
        NumberRange(start: first, stop: first + picked.count * step, stride: step))
    default: break
    }
    throw .value("'\(value.typeName)' object is not subscriptable")
  }

  /// Indices of a Python slice.
  struct Slice {
    let first: Int
    let count: Int
    let stride: Int

    init(_ start: Int?, _ stop: Int?, _ stride: Int?, count length: Int) {
      // No list is long enough for a larger step to matter.
      let stride = Swift.max(Swift.min(stride ?? 1, 1 << 40), -(1 << 40))
      let lowest = stride > 0 ? 0 : -1
      let highest = stride > 0 ? length : length - 1
      func clamp(_ bound: Int) -> Int {
        let at = bound < 0 ? Swift.max(bound, -(length + 1)) + length : bound
        return Swift.min(Swift.max(at, lowest), highest)
      }
      let from = start.map(clamp) ?? (stride > 0 ? lowest : highest)
      let to = stop.map(clamp) ?? (stride > 0 ? highest : lowest)
      let span = stride > 0 ? to - from : from - to
      first = from
      self.stride = stride
      count = span <= 0 ? 0 : (span - 1) / abs(stride) + 1
    }

    func of<Element>(_ elements: [Element]) -> [Element] {
      if stride == 1 { return Array(elements[first..<first + count]) }
      return (0..<count).map { elements[first + $0 * stride] }
    }
  }
}
