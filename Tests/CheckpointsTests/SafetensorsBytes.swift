/// Builds safetensors files byte by byte, right or deliberately wrong.
enum SafetensorsBytes {
  static func file(_ header: String, data: [UInt8] = []) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data
  }

  /// One tensor `t` with these members, and so many bytes of data.
  static func one(_ members: String, data: Int) -> [UInt8] {
    file("{\"t\":{\(members)}}", data: Array(repeating: 0, count: data))
  }

  /// A matrix, a vector, an empty tensor and a scalar.
  static let validHeader = """
    {"__metadata__":{"format":"pt"},\
    "a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},\
    "b.weight":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},\
    "empty":{"dtype":"F16","shape":[0,7],"data_offsets":[32,32]},\
    "scalar":{"dtype":"I32","shape":[],"data_offsets":[32,36]}}
    """
  static let valid = file(validHeader, data: Array(0..<36))
}

func littleEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { Array($0) }
}
