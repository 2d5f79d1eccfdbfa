/// A dict: entries in order of insertion; it never changes.
final class Mapping {
  private(set) var entries: [(key: Value, value: Value)] = []
  private var keys: [Key] = []
  private(set) var depth = 1
  /// Only large dicts pay for an index.
  private var index: [Key: Int]?
  private static let indexThreshold = 12

  init() {}

  /// Takes keys that are known to be different strings.
  init(unique members: [(Text, Value)], depth: Int) {
    entries.reserveCapacity(members.count)
    keys.reserveCapacity(members.count)
    for (key, value) in members {
      entries.append((.string(key), value))
      keys.append(.text(key))
    }
    self.depth = depth
    reindex()
  }

  var count: Int { entries.count }
  var keyValues: [Value] { entries.map(\.key) }

  func position(of key: Key) -> Int? {
    if let index { return index[key] }
    return keys.firstIndex(of: key)
  }

  subscript(key: Key) -> Value? { position(of: key).map { entries[$0].value } }
  subscript(name: Text) -> Value? { self[.text(name)] }

  /// Adds or replaces an entry; only for whoever builds the dict.
  func set(_ key: Key, _ original: Value, _ value: Value) {
    depth = max(depth, value.depth + 1, original.depth + 1)
    if let at = position(of: key) {
      entries[at].value = value
      return
    }
    entries.append((original, value))
    keys.append(key)
    if index != nil {
      index?[key] = keys.count - 1
    } else {
      reindex()
    }
  }

  private func reindex() {
    guard keys.count > Self.indexThreshold else { return }
    var fresh = [Key: Int](minimumCapacity: keys.count)
    for (at, key) in keys.enumerated() { fresh[key] = at }
    index = fresh
  }
}

/// A value as the key of a dict: `1`, `1.0` and `True` are the same one.
enum Key: Hashable {
  case undefined
  case none
  case integer(Int)
  case float(Double)
  case text(Text)
  case tuple([Key])
  case object(ObjectIdentifier)

  fileprivate static let maximumParts = 4096
}

extension Rendering {
  /// - Throws: `unhashable type` for lists and dicts.
  func key(_ value: Value) throws(Problem) -> Key {
    var room = Key.maximumParts
    return try key(value, &room)
  }

  private func key(_ value: Value, _ room: inout Int) throws(Problem) -> Key {
    switch value {
    case .undefined: return .undefined
    case .none: return .none
    case .boolean(let value): return .integer(value ? 1 : 0)
    case .integer(let value): return .integer(value)
    case .float(let value): return Int(exactly: value).map(Key.integer) ?? .float(value)
    case .string(let text): return .text(text)
    case .tuple(let items):
      // A tuple of tuples can name the same few values without end.
      room -= items.values.count
      guard room >= 0 else {
        throw Problem(.limit, "a key of more than \(Key.maximumParts) values")
      }
      try step(items.values.count)
      var keys: [Key] = []
      for item in items.values { keys.append(try key(item, &room)) }
      return .tuple(keys)
    case .object(let object): return .object(ObjectIdentifier(object))
    case .list, .mapping: throw .value("unhashable type: '\(value.typeName)'")
    }
  }

  /// A dict of entries in order; a later one of the same key replaces the value.
  func mapping(_ entries: [(key: Value, value: Value)]) throws(Problem) -> Value {
    try charge(bytes: 64 * entries.count)
    let result = Mapping()
    for (key, value) in entries { result.set(try self.key(key), key, value) }
    try check(depth: result.depth)
    return .mapping(result)
  }
}
