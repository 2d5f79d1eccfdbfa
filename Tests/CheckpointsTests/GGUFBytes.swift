/// Builds GGUF files byte by byte, right or deliberately wrong.
struct GGUFBytes {
  var magic = Array("GGUF".utf8)
  var version: UInt32 = 3
  /// nil: what is really there.
  var tensorCount: UInt64?
  var pairCount: UInt64?
  var pairs: [[UInt8]] = [pair("general.architecture", 8, string("qwen3moe"))]
  var infos: [[UInt8]] = [
    info("a", [4, 2], 0, 0), info("b.weight", [32, 1], 8, 32), info("c", [5], 1, 96),
  ]
  var alignment = 32
  /// 32 bytes of F32, 34 of Q8_0 and 30 of padding, 10 of F16.
  var data: [UInt8] = (0..<106).map { UInt8($0) }

  var bytes: [UInt8] {
    var out = magic + littleEndian(version)
    out += littleEndian(tensorCount ?? UInt64(infos.count))
    out += littleEndian(pairCount ?? UInt64(pairs.count))
    out += pairs.joined()
    out += infos.joined()
    while out.count % alignment != 0 { out.append(0) }
    return out + data
  }

  static let valid = GGUFBytes().bytes

  static func with(_ change: (inout GGUFBytes) -> Void) -> [UInt8] {
    var file = GGUFBytes()
    change(&file)
    return file.bytes
  }

  static func string(_ text: String) -> [UInt8] {
    littleEndian(UInt64(text.utf8.count)) + Array(text.utf8)
  }

  static func pair(_ key: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    string(key) + littleEndian(type) + value
  }

  static func array(_ type: UInt32, count: UInt64, _ elements: [UInt8]) -> [UInt8] {
    littleEndian(type) + littleEndian(count) + elements
  }

  /// Dimensions innermost first, as the format has them.
  static func info(
    _ name: String, _ dimensions: [UInt64], _ type: UInt32, _ offset: UInt64, rank: UInt32? = nil
  ) -> [UInt8] {
    string(name) + littleEndian(rank ?? UInt32(dimensions.count))
      + dimensions.flatMap { littleEndian($0) } + littleEndian(type) + littleEndian(offset)
  }
}
