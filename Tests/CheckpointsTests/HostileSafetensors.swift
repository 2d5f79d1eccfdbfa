/// Headers that lie, each in one way, and what the error must say.
enum HostileSafetensors {
  private static func tensor(_ members: String, data: Int) -> [UInt8] {
    SafetensorsBytes.one(members, data: data)
  }

  /// Two tensors of bytes, `t` and `u`, at these places.
  private static func two(_ t: Range<Int>, _ u: Range<Int>, data: Int) -> [UInt8] {
    let members = [("t", t), ("u", u)].map { name, range in
      #""\#(name)":{"dtype":"U8","shape":[\#(range.count)],"#
        + #""data_offsets":[\#(range.lowerBound),\#(range.upperBound)]}"#
    }
    return SafetensorsBytes.file(
      "{" + members.joined(separator: ",") + "}", data: Array(repeating: 0, count: data))
  }

  static let cases: [(label: String, bytes: [UInt8], pieces: [String])] = file + members + places

  private static let file: [(label: String, bytes: [UInt8], pieces: [String])] = [
    ("empty file", [], ["0 bytes"]),
    ("length beyond 100 MB", littleEndian(UInt64(100_000_001)) + Array("{}".utf8), ["100000001"]),
    ("length of all ones", littleEndian(UInt64.max) + Array("{}".utf8), ["header"]),
    (
      "length beyond the file", littleEndian(UInt64(3)) + Array("{}".utf8),
      ["truncated", "1 bytes"]
    ),
    ("a list", SafetensorsBytes.file("[]"), ["'{'"]),
    ("a space first", SafetensorsBytes.file(" {}"), ["'{'"]),
    ("no header", SafetensorsBytes.file(""), ["'{'"]),
    ("broken JSON", SafetensorsBytes.file(#"{"a":"#), ["JSON"]),
    ("not UTF-8", littleEndian(UInt64(7)) + [0x7B, 0x22, 0xFF, 0x22, 0x3A, 0x31, 0x7D], ["UTF-8"]),
    ("name twice", SafetensorsBytes.file(#"{"t":{},"t":{}}"#), ["twice"]),
    ("metadata a number", SafetensorsBytes.file(#"{"__metadata__":1}"#), ["__metadata__"]),
    ("metadata of numbers", SafetensorsBytes.file(#"{"__metadata__":{"a":1}}"#), ["__metadata__"]),
    ("tensor a list", SafetensorsBytes.file(#"{"t":[]}"#), ["tensor t", "dtype"]),
    (
      "empty name", SafetensorsBytes.file(#"{"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#),
      ["empty name"]
    ),
  ]

  private static let members: [(label: String, bytes: [UInt8], pieces: [String])] = [
    (#""dtype":"F7","shape":[1],"data_offsets":[0,1]"#, 1, ["F7", "not supported", "Convert"]),
    (#""dtype":4,"shape":[1],"data_offsets":[0,1]"#, 1, ["dtype"]),
    (#""dtype":"U8","data_offsets":[0,1]"#, 1, ["shape"]),
    (#""dtype":"U8","shape":[-1],"data_offsets":[0,1]"#, 1, ["dimension"]),
    (#""dtype":"U8","shape":[1.0],"data_offsets":[0,1]"#, 1, ["dimension"]),
    (#""dtype":"U8","shape":["1"],"data_offsets":[0,1]"#, 1, ["dimension"]),
    (#""dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]"#, 1, ["dimension"]),
    (#""dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]"#, 0, ["overflows"]),
    (#""dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]"#, 0, ["overflows"]),
    (#""dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]"#, 1, ["9 dimensions"]),
    (#""dtype":"U8","shape":[1]"#, 1, ["data_offsets"]),
    (#""dtype":"U8","shape":[1],"data_offsets":[0,1,2]"#, 1, ["data_offsets"]),
    (#""dtype":"U8","shape":[1],"data_offsets":[1,0]"#, 1, ["data_offsets"]),
    (#""dtype":"U8","shape":[1],"data_offsets":[-1,0]"#, 1, ["data_offsets"]),
    (#""dtype":"U8","shape":[1],"data_offsets":[0,1e0]"#, 1, ["data_offsets"]),
    (
      #""dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]"#, 1,
      ["overflow"]
    ),
    (#""dtype":"F32","shape":[1],"data_offsets":[0,5]"#, 5, ["needs 4 bytes", "span 5"]),
  ].map { members, data, pieces in (members, tensor(members, data: data), ["tensor t"] + pieces) }

  private static let places: [(label: String, bytes: [UInt8], pieces: [String])] = [
    ("hole at the start", two(1..<2, 2..<3, data: 3), ["tensor t", "no holes"]),
    ("hole between", two(0..<4, 5..<6, data: 6), ["tensor u", "no holes"]),
    ("overlap", two(0..<4, 3..<6, data: 6), ["tensor u", "overlaps tensor t"]),
    ("the same bytes twice", two(0..<4, 0..<4, data: 4), ["overlaps"]),
    ("one inside the other", two(0..<4, 1..<3, data: 4), ["tensor u", "overlaps tensor t"]),
    ("empty one inside another", two(0..<4, 2..<2, data: 4), ["tensor u"]),
    ("bytes after the last", two(0..<1, 1..<2, data: 4), ["2 bytes follow"]),
    (
      "truncated", two(0..<2, 2..<12, data: 6),
      ["tensor u", "4 of the tensor's 10", "6 bytes are missing", "Download"]
    ),
    ("second one absent", two(0..<2, 2..<12, data: 1), ["tensor t", "11 bytes are missing"]),
  ]
}
