extension Filters {
  static let selections: [String: Filter] = [
    "map": map, "select": select, "reject": reject, "selectattr": selectattr,
    "rejectattr": rejectattr, "min": minimum, "max": maximum, "sum": sum,
    "default": fallback, "d": fallback, "attr": attribute,
  ]

  static func map(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    var results: [Value] = []
    if arguments.positional.isEmpty {
      let bound = try arguments.bind("map", ["attribute", "default"])
      guard bound[0] != nil else { throw .value("map requires a filter argument") }
      guard value.isTrue else { return try rendering.iterator([]) }
      let path = AttributePath(bound[0])
      for element in try rendering.elements(of: value) {
        results.append(try path.get(element, rendering, fallback: bound[1]))
      }
      return try rendering.iterator(results)
    }
    guard value.isTrue else { return try rendering.iterator([]) }
    let name = try rendering.text(arguments.positional[0]).string
    let rest = Arguments(Array(arguments.positional.dropFirst()), named: arguments.named)
    for element in try rendering.elements(of: value) {
      try rendering.step()
      results.append(try rendering.filter(name, element, rest))
    }
    return try rendering.iterator(results)
  }

  private static func choose(
    _ value: Value, _ arguments: Arguments, _ rendering: Rendering, keeps: Bool, byAttribute: Bool
  ) throws(Problem) -> Value {
    var rest = arguments
    var path = AttributePath(nil)
    if byAttribute {
      guard !rest.positional.isEmpty else { throw .value("missing parameter for attribute name") }
      path = AttributePath(rest.positional.removeFirst())
    }
    let name = rest.positional.isEmpty ? nil : try rendering.text(rest.positional.removeFirst())
    guard value.isTrue else { return try rendering.iterator([]) }
    var kept: [Value] = []
    for element in try rendering.elements(of: value) {
      let tested = try path.get(element, rendering)
      try rendering.step()
      let holds =
        if let name { try rendering.test(name.string, tested, rest) } else { tested.isTrue }
      if holds == keeps { kept.append(element) }
    }
    return try rendering.iterator(kept)
  }

  static func select(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  { try choose(value, arguments, rendering, keeps: true, byAttribute: false) }

  static func reject(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  { try choose(value, arguments, rendering, keeps: false, byAttribute: false) }

  static func selectattr(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  { try choose(value, arguments, rendering, keeps: true, byAttribute: true) }

  static func rejectattr(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  { try choose(value, arguments, rendering, keeps: false, byAttribute: true) }

  private static func extreme(
    _ name: String, _ value: Value, _ arguments: Arguments, _ rendering: Rendering,
    isBetter: (Value, Value) throws(Problem) -> Bool
  ) throws(Problem) -> Value {
    let bound = try arguments.bind(name, ["case_sensitive", "attribute"])
    let path = AttributePath(bound[1])
    var best: (key: Value, element: Value)?
    for element in try rendering.elements(of: value) {
      let key = folded(try path.get(element, rendering), bound.flag(0))
      guard let current = best else {
        best = (key, element)
        continue
      }
      if try isBetter(key, current.key) { best = (key, element) }
    }
    return best?.element ?? .undefined(Missing("no aggregated item, sequence was empty"))
  }

  static func minimum(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    try extreme("min", value, arguments, rendering) { (new, best) throws(Problem) in
      try rendering.isLess(new, best)
    }
  }

  static func maximum(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    try extreme("max", value, arguments, rendering) { (new, best) throws(Problem) in
      try rendering.isLess(best, new, ">", swapped: true)
    }
  }

  static func sum(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("sum", ["attribute", "start"])
    let path = AttributePath(bound[0])
    var total = bound[1] ?? .integer(0)
    if total.string != nil { throw .value("sum() can't sum strings: use the filter 'join'") }
    for element in try rendering.elements(of: value) {
      total = try rendering.arithmetic(.add, total, try path.get(element, rendering))
    }
    return total
  }

  static func fallback(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("default", ["default_value", "boolean"])
    let replaces = value.isUndefined || bound.flag(1) && !value.isTrue
    return replaces ? bound[0] ?? .string("") : value
  }

  /// An attribute or method, never an item.
  static func attribute(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let name = try rendering.text(
      try arguments.bind("attr", ["name"], required: 1).value(0))
    if case .mapping(let mapping) = value, mapping[name] != nil,
      try Methods.bound(name.string, of: value) == nil,
      !Methods.isForbidden(name.string, of: value)
    {
      return .undefined(Missing("'dict object' has no attribute '\(name.string)'"))
    }
    return try rendering.attribute(name, of: value)
  }
}
