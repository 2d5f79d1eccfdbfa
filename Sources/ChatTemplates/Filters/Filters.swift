/// Jinja's filters by name.
enum Filters {
  typealias Filter = @Sendable (Value, Arguments, Rendering) throws(Problem) -> Value

  static let all: [String: Filter] = {
    var all: [String: Filter] = ["tojson": toJSON, "pprint": pprint]
    for part in [sequences, selections, texts, markup, numbers] {
      all.merge(part) { first, _ in first }
    }
    return all
  }()

  /// Filters of Jinja's that are not here, and what to do instead.
  static let refused: [String: String] = [
    "urlize": "A prompt is not HTML; print the text itself"
  ]

  /// What `sort`, `unique` and the like compare: strings without their case unless told otherwise.
  static func folded(_ value: Value, _ isCaseSensitive: Bool) -> Value {
    guard !isCaseSensitive, case .string(let text) = value else { return value }
    return .string(text.lowercased)
  }
}

/// A path such as `message.content` or `0.name`, as filters take it for `attribute`.
struct AttributePath {
  private enum Part { case index(Int), name(Text), value(Value) }
  private let parts: [Part]

  init(_ attribute: Value?) {
    switch attribute {
    case nil, .some(.none): parts = []
    case .string(let text)?:
      parts = text.split(by: ".").map { part in
        !part.isEmpty && part.scalars.allSatisfy(\.isASCIIDigit)
          ? Int(part.string).map(Part.index) ?? .name(part) : .name(part)
      }
    case .some(let value): parts = [.value(value)]
    }
  }

  /// - Parameter fallback: stands for whatever is not there.
  func get(_ value: Value, _ rendering: Rendering, fallback: Value? = nil) throws(Problem) -> Value
  {
    var value = value
    for part in parts {
      try rendering.step()
      value =
        switch part {
        case .index(let index): try rendering.item(.integer(index), of: value)
        case .name(let name): try rendering.item(.string(name), of: value)
        case .value(let key): try rendering.item(key, of: value)
        }
      if value.isUndefined, let fallback, !fallback.isNone { value = fallback }
    }
    return value
  }

  /// Several paths between commas.
  static func several(_ attribute: Value?) -> [AttributePath] {
    guard case .string(let text)? = attribute else { return [AttributePath(attribute)] }
    return text.split(by: ",").map { AttributePath(.string($0)) }
  }
}

extension Rendering {
  /// A stable sort by Python's order of the keys.
  func sorted<Element>(
    _ elements: [Element], reversed: Bool = false,
    by key: (Element) throws(Problem) -> Value
  ) throws(Problem) -> [Element] {
    var keyed: [(key: Value, element: Element)] = []
    keyed.reserveCapacity(elements.count)
    for element in elements { keyed.append((try key(element), element)) }
    try charge(bytes: 32 * elements.count)
    var spare = keyed
    var width = 1
    while width < keyed.count {
      var start = 0
      while start < keyed.count {
        try merge(
          keyed, start, min(start + width, keyed.count), min(start + 2 * width, keyed.count),
          reversed, into: &spare)
        start += 2 * width
      }
      swap(&keyed, &spare)
      width *= 2
    }
    return keyed.map(\.element)
  }

  private func merge<Element>(
    _ source: [(key: Value, element: Element)], _ start: Int, _ middle: Int, _ end: Int,
    _ reversed: Bool, into target: inout [(key: Value, element: Element)]
  ) throws(Problem) {
    var left = start
    var right = middle
    for at in start..<end {
      let takesRight: Bool
      if left >= middle {
        takesRight = true
      } else if right >= end {
        takesRight = false
      } else if reversed {
        takesRight = try isLess(source[left].key, source[right].key)
      } else {
        takesRight = try isLess(source[right].key, source[left].key)
      }
      if takesRight {
        target[at] = source[right]
        right += 1
      } else {
        target[at] = source[left]
        left += 1
      }
    }
  }
}
