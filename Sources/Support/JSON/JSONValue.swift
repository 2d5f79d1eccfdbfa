/// A JSON document that keeps the order of object members (RFC 8259).
///
/// Order matters to chat templates and to byte-identical packing; Foundation's decoder loses it
/// and needs several times the memory on vocabularies of hundreds of thousands of strings.
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number without fraction or exponent that fits 64 bits.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  public subscript(key: String) -> JSONValue? {
    if case .object(let object) = self { return object[key] }
    return nil
  }

  public var isNull: Bool {
    if case .null = self { return true }
    return false
  }

  /// Strings are equal when their code points are, not when they merely look the same.
  public static func == (left: JSONValue, right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.bool(let left), .bool(let right)): left == right
    case (.integer(let left), .integer(let right)): left == right
    case (.number(let left), .number(let right)): left == right
    case (.string(let left), .string(let right)): ExactString(left) == ExactString(right)
    case (.array(let left), .array(let right)): left == right
    case (.object(let left), .object(let right)): left == right
    default: false
    }
  }

  public var string: String? {
    if case .string(let value) = self { return value }
    return nil
  }

  public var bool: Bool? {
    if case .bool(let value) = self { return value }
    return nil
  }

  /// The value as an integer; a number such as `1e3` counts when it is whole.
  public var integer: Int? {
    switch self {
    case .integer(let value): return value
    case .number(let value): return Int(exactly: value)
    default: return nil
    }
  }

  public var double: Double? {
    switch self {
    case .integer(let value): return Double(value)
    case .number(let value): return value
    default: return nil
    }
  }

  public var array: [JSONValue]? {
    if case .array(let value) = self { return value }
    return nil
  }

  public var object: JSONObject? {
    if case .object(let value) = self { return value }
    return nil
  }
}

/// The members of a JSON object in document order, with constant-time look-up for large ones.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  public private(set) var members: [(key: String, value: JSONValue)] = []
  /// Only objects with many members pay for an index.
  private var index: [ExactString: Int]? = nil
  private static let indexThreshold = 16

  public init() {}

  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    for (key, value) in elements { self[key] = value }
  }

  public var count: Int { members.count }
  public var keys: [String] { members.map(\.key) }

  public subscript(key: String) -> JSONValue? {
    get { position(of: key).map { members[$0].value } }
    set {
      if let at = position(of: key) {
        if let newValue {
          members[at].value = newValue
        } else {
          members.remove(at: at)
          reindex()
        }
      } else if let newValue {
        append(key, newValue)
      }
    }
  }

  /// Adds a member that is known to be absent.
  mutating func append(_ key: String, _ value: JSONValue) {
    members.append((key, value))
    if index != nil {
      index?[ExactString(key)] = members.count - 1
    } else if members.count > Self.indexThreshold {
      reindex()
    }
  }

  func position(of key: String) -> Int? {
    let exact = ExactString(key)
    if let index { return index[exact] }
    return members.firstIndex { ExactString($0.key) == exact }
  }

  private mutating func reindex() {
    guard members.count > Self.indexThreshold else {
      index = nil
      return
    }
    var fresh = [ExactString: Int](minimumCapacity: members.count)
    for (at, member) in members.enumerated() { fresh[ExactString(member.key)] = at }
    index = fresh
  }

  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    left.members.count == right.members.count
      && zip(left.members, right.members).allSatisfy {
        ExactString($0.key) == ExactString($1.key) && $0.value == $1.value
      }
  }
}
