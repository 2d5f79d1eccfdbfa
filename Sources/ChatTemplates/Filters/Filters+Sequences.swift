extension Filters {
  static let sequences: [String: Filter] = [
    "length": length, "count": length, "first": first, "last": last, "list": list,
    "reverse": reverse, "join": join, "sort": sort, "dictsort": dictsort, "items": items,
    "unique": unique, "batch": batch, "slice": slice, "groupby": groupby, "random": random,
  ]

  static func length(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("length", [])
    return .integer(try rendering.length(of: value))
  }

  static func first(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("first", [])
    if case .object(let object) = value, let iterator = object as? Iterator {
      return iterator.next() ?? .undefined(Missing("no first item, sequence was empty"))
    }
    if case .string(let text) = value, let first = text.scalars.first {
      return .string(Text([first]))
    }
    return try rendering.elements(of: value).first
      ?? .undefined(Missing("no first item, sequence was empty"))
  }

  static func last(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("last", [])
    if case .object(let object) = value, object is Iterator {
      throw .value("'\(value.typeName)' object is not reversible")
    }
    if case .string(let text) = value, let last = text.scalars.last {
      return .string(Text([last]))
    }
    return try rendering.elements(of: value).last
      ?? .undefined(Missing("no last item, sequence was empty"))
  }

  static func list(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("list", [])
    return try rendering.list(try rendering.elements(of: value))
  }

  static func reverse(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("reverse", [])
    if case .string(let text) = value {
      return try rendering.string(Text(text.scalars.reversed(), isSafe: text.isSafe))
    }
    return try rendering.iterator(
      try rendering.elements(of: value).reversed(), kind: "list_reverseiterator")
  }

  static func join(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("join", ["d", "attribute"])
    let separator = try bound[0].map { (value) throws(Problem) in try rendering.text(value) } ?? ""
    let path = AttributePath(bound[1])
    var result: [Scalar] = []
    for (at, element) in try rendering.elements(of: value).enumerated() {
      let piece = try rendering.text(try path.get(element, rendering))
      try rendering.charge(characters: piece.count + separator.count)
      if at > 0 { result.append(contentsOf: separator.scalars) }
      result.append(contentsOf: piece.scalars)
    }
    return .string(Text(result))
  }

  static func sort(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("sort", ["reverse", "case_sensitive", "attribute"])
    let paths = AttributePath.several(bound[2])
    let isCaseSensitive = bound.flag(1)
    let sorted = try rendering.sorted(
      try rendering.elements(of: value), reversed: bound.flag(0)
    ) { (element) throws(Problem) in
      var keys: [Value] = []
      for path in paths { keys.append(folded(try path.get(element, rendering), isCaseSensitive)) }
      return try rendering.list(keys)
    }
    return try rendering.list(sorted)
  }

  static func dictsort(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("dictsort", ["case_sensitive", "by", "reverse"])
    guard case .mapping(let mapping) = value else { throw wrongType(value, "items") }
    let by = try bound.text(1, default: "key")
    guard by == "key" || by == "value" else {
      throw .value("you can only sort by either 'key' or 'value'")
    }
    let isCaseSensitive = bound.flag(0)
    let sorted = try rendering.sorted(mapping.entries, reversed: bound.flag(2)) { (entry) in
      folded(by == "key" ? entry.key : entry.value, isCaseSensitive)
    }
    return try rendering.list(try pairs(sorted, rendering))
  }

  static func pairs(_ entries: [(key: Value, value: Value)], _ rendering: Rendering)
    throws(Problem) -> [Value]
  {
    var pairs: [Value] = []
    pairs.reserveCapacity(entries.count)
    for (key, value) in entries { pairs.append(try rendering.tuple([key, value])) }
    return pairs
  }

  private static func wrongType(_ value: Value, _ attribute: String) -> Problem {
    if case .undefined(let missing) = value { return missing.problem }
    return .value("'\(value.typeName)' object has no attribute '\(attribute)'")
  }

  static func items(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("items", [])
    if value.isUndefined { return try rendering.iterator([]) }
    guard case .mapping(let mapping) = value else {
      throw .value("can only get item pairs from a mapping, not '\(value.typeName)'")
    }
    return try rendering.iterator(try pairs(mapping.entries, rendering))
  }

  static func unique(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("unique", ["case_sensitive", "attribute"])
    let path = AttributePath(bound[1])
    var seen: Set<Key> = []
    var kept: [Value] = []
    for element in try rendering.elements(of: value) {
      let key = folded(try path.get(element, rendering), bound.flag(0))
      if seen.insert(try rendering.key(key)).inserted { kept.append(element) }
    }
    return try rendering.iterator(kept)
  }

  static func batch(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("batch", ["linecount", "fill_with"], required: 1)
    let size = try bound.int(0)
    var rows: [Value] = []
    var row: [Value] = []
    for element in try rendering.elements(of: value) {
      if row.count == size {
        rows.append(try rendering.list(row))
        row = []
      }
      row.append(element)
    }
    if !row.isEmpty {
      if let fill = bound[1], !fill.isNone, row.count < size {
        try rendering.charge(bytes: size > Int.max / 64 ? Int.max / 2 : 16 * size)
        row += Array(repeating: fill, count: size - row.count)
      }
      rows.append(try rendering.list(row))
    }
    return try rendering.iterator(rows)
  }

  static func slice(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind("slice", ["slices", "fill_with"], required: 1)
    let elements = try rendering.elements(of: value)
    let count = try bound.int(0)
    guard count != 0 else { throw .value("integer division or modulo by zero") }
    guard count > 0 else { return try rendering.iterator([]) }
    try rendering.charge(bytes: count > Int.max / 128 ? Int.max / 2 : 64 * count)
    let size = elements.count / count
    let extra = elements.count % count
    var columns: [Value] = []
    var at = 0
    for column in 0..<count {
      let end = at + size + (column < extra ? 1 : 0)
      var part = Array(elements[at..<end])
      if let fill = bound[1], !fill.isNone, column >= extra { part.append(fill) }
      columns.append(try rendering.list(part))
      at = end
    }
    return try rendering.iterator(columns)
  }

  static func groupby(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind(
      "groupby", ["attribute", "default", "case_sensitive"], required: 1)
    let path = AttributePath(bound[0])
    var keyed: [(key: Value, element: Value)] = []
    for element in try rendering.elements(of: value) {
      keyed.append((try path.get(element, rendering, fallback: bound[1]), element))
    }
    let isCaseSensitive = bound.flag(2)
    let sorted = try rendering.sorted(keyed) { (entry) in folded(entry.key, isCaseSensitive) }
    var groups: [Value] = []
    var at = 0
    while at < sorted.count {
      let first = folded(sorted[at].key, isCaseSensitive)
      var end = at + 1
      while end < sorted.count,
        try rendering.areEqual(first, folded(sorted[end].key, isCaseSensitive))
      {
        end += 1
      }
      let members = try rendering.list(sorted[at..<end].map(\.element))
      groups.append(.object(Group(sorted[at].key, members)))
      at = end
    }
    return try rendering.list(groups)
  }

  static func random(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    _ = try arguments.bind("random", [])
    return try rendering.elements(of: value).randomElement()
      ?? .undefined(Missing("no random item, sequence was empty"))
  }
}

/// What `groupby` gives for each group: a pair that also has names.
final class Group: Object {
  let grouper: Value
  let members: Value

  init(_ grouper: Value, _ members: Value) {
    self.grouper = grouper
    self.members = members
    super.init(depth: max(grouper.depth, members.depth) + 1)
  }

  override var typeName: String { "tuple" }
  override var length: Int? { 2 }
  override var isSequence: Bool { true }
  override var isIterable: Bool { true }

  override func elements(_ rendering: Rendering) throws(Problem) -> [Value]? { [grouper, members] }

  override func attribute(_ name: Text, _ rendering: Rendering) throws(Problem) -> Value? {
    switch name {
    case "grouper": grouper
    case "list": members
    default: nil
    }
  }

  override func item(_ key: Value, _ rendering: Rendering) throws(Problem) -> Value? {
    switch key.integer {
    case 0, -2: grouper
    case 1, -1: members
    default: nil
    }
  }
}
