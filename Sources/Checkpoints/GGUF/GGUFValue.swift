import Support

/// The types of GGUF metadata values, with the numbers the format gives them.
enum GGUFValueType: UInt32 {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// The fewest bytes a value takes in the file.
  var minimumBytes: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .string, .uint64, .int64, .float64: 8
    case .array: 12
    }
  }
}

extension GGUFReader {
  /// Elements of all arrays together: each becomes a value in memory many times the size of a
  /// byte in the file.
  static let maximumArrayElements = 1 << 22

  mutating func valueType() throws(Failure) -> GGUFValueType {
    let raw = try integer(UInt32.self)
    guard let type = GGUFValueType(rawValue: raw) else {
      throw malformed("unknown value type \(raw)")
    }
    return type
  }

  /// One metadata value.
  ///
  /// Integers become `.integer`, except a u64 beyond 2⁶³ − 1, which becomes `.number` as it
  /// would in JSON.  Floats become `.number`, infinities and NaN included.
  ///
  /// - Parameter elements: array elements read so far in this header.
  mutating func value(_ type: GGUFValueType, elements: inout Int) throws(Failure) -> JSONValue {
    switch type {
    case .array: return try array(elements: &elements)
    case .string: return .string(try string("string"))
    case .uint8: return .integer(Int(try integer(UInt8.self)))
    case .int8: return .integer(Int(try integer(Int8.self)))
    case .uint16: return .integer(Int(try integer(UInt16.self)))
    case .int16: return .integer(Int(try integer(Int16.self)))
    case .uint32: return .integer(Int(try integer(UInt32.self)))
    case .int32: return .integer(Int(try integer(Int32.self)))
    case .int64: return .integer(Int(try integer(Int64.self)))
    case .uint64:
      let raw = try integer(UInt64.self)
      return Int(exactly: raw).map { .integer($0) } ?? .number(Double(raw))
    case .float32: return .number(Double(Float(bitPattern: try integer(UInt32.self))))
    case .float64: return .number(Double(bitPattern: try integer(UInt64.self)))
    case .bool:
      let raw = try integer(UInt8.self)
      guard raw <= 1 else { throw malformed("a truth value of \(raw), where 0 and 1 are allowed") }
      return .bool(raw == 1)
    }
  }

  private mutating func array(elements: inout Int) throws(Failure) -> JSONValue {
    let type = try valueType()
    guard type != .array else { throw malformed("arrays of arrays are not supported") }
    let count = try count(of: "array elements", elementBytes: type.minimumBytes)
    elements += count
    guard elements <= Self.maximumArrayElements else {
      throw malformed(
        "\(elements) array elements, where at most \(Self.maximumArrayElements) make sense")
    }
    var values: [JSONValue] = []
    values.reserveCapacity(count)
    var unused = 0
    for _ in 0..<count { values.append(try value(type, elements: &unused)) }
    return .array(values)
  }
}
