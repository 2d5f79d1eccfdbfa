import CKernels
import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// A checkpoint around a few tensors, and the floats that reading a matrix from it gives.
struct StoredFixture {
  let directory: TemporaryDirectory
  var quantization: JSONValue?
  /// `quantization` of MLX, or `quantization_config`.
  var key = "quantization_config"
  var tensors: [TestTensor] = []

  init() throws { directory = try TemporaryDirectory("stored") }

  func open() throws -> (Checkpoint, StoredQuantization) {
    var config: JSONObject = [:]
    if let quantization { config[key] = quantization }
    try FileSystem.createDirectory(directory.file("m"))
    try directory.write(JSONValue.object(config).serialized(), to: "m/config.json")
    try directory.write(CheckpointBytes.safetensors(tensors), to: "m/model.safetensors")
    let checkpoint = try Checkpoint.open(directory.file("m"))
    return (checkpoint, try StoredQuantization(config: checkpoint.config, subject: "config.json"))
  }

  func matrix(_ name: String, _ rows: Int, _ columns: Int) throws -> any RowSource {
    let (checkpoint, quantization) = try open()
    let stored = try StoredMatrix(name, in: checkpoint, quantization)
    let found = try #require(stored, "\(name) is not found")
    return try found.rows(
      rows, of: TensorCatalog.Source(name, rows: rows, columns: columns))
  }

  /// Reads rows in pieces of odd sizes, which must not matter, and widens them.
  static func floats(_ source: any RowSource) throws -> [[Float]] {
    var result: [[Float]] = []
    let rowBytes = source.format.rowBytes(columns: source.columns)
    var (row, step) = (0, 1)
    while row < source.rows {
      let end = min(source.rows, row + step)
      let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: (end - row) * rowBytes, alignment: 64)
      defer { buffer.deallocate() }
      try source.read(rows: row..<end, into: buffer)
      for at in 0..<end - row {
        let bytes = Array(buffer[at * rowBytes..<(at + 1) * rowBytes])
        result.append(try widen(bytes, source.format, source.columns))
      }
      row = end
      step = step * 3 % 23 + 1
    }
    return result
  }

  private static func widen(_ bytes: [UInt8], _ format: SourceFormat, _ columns: Int) throws
    -> [Float]
  {
    let kinds: [SourceFormat: fm_row_format] = [
      .q4_0: FM_ROW_Q4_0, .q8_0: FM_ROW_Q8_0, .mxfp4: FM_ROW_MXFP4, .affine4: FM_ROW_AFFINE_BF16,
      .affine4Wide: FM_ROW_AFFINE_F32,
    ]
    if let kind = kinds[format] {
      var values = [Float](repeating: 0, count: columns)
      fm_unpack_format(kind, bytes, columns, &values)
      return values
    }
    return try (0..<columns).map { at in
      func word(_ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }
      switch format {
      case .f32: return Float(bitPattern: UInt32(word(4 * at)) | UInt32(word(4 * at + 2)) << 16)
      case .f16: return Float(Float16(bitPattern: word(2 * at)))
      case .bf16: return Float(bitPattern: UInt32(word(2 * at)) << 16)
      default: throw Failure(.unsupported, "test", "\(format)")
      }
    }
  }
}

/// Numbers as checkpoints write them.
enum Written {
  /// Little-endian words of `bits` wide codes, the first in the lowest bits, padded to whole words.
  static func words(_ codes: [Int], bits: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    var (held, count) = (UInt64(0), 0)
    for code in codes {
      held |= UInt64(code) << UInt64(count)
      count += bits
      while count >= 8 {
        bytes.append(UInt8(held & 255))
        held >>= 8
        count -= 8
      }
    }
    if count > 0 { bytes.append(UInt8(held & 255)) }
    while bytes.count % 4 != 0 { bytes.append(0) }
    return bytes
  }

  static func floats(_ values: [Float], _ type: String) -> [UInt8] {
    values.flatMap { value -> [UInt8] in
      switch type {
      case "F16": TestTensor.word(Float16(value).bitPattern)
      case "BF16": TestTensor.word(UInt16(value.bitPattern >> 16))
      default: withUnsafeBytes(of: value) { Array($0) }
      }
    }
  }

  /// What a float becomes in that type; `floats` writes it without loss.
  static func rounded(_ value: Float, _ type: String) -> Float {
    switch type {
    case "F16": Float(Float16(value))
    case "BF16": Float(bitPattern: value.bitPattern & 0xFFFF_0000)
    default: value
    }
  }

  static func integers<Number: FixedWidthInteger>(_ values: [Number]) -> [UInt8] {
    values.flatMap { value in withUnsafeBytes(of: value.littleEndian) { Array($0) } }
  }
}

/// Random codes and scales of a matrix, and the values they stand for.
struct RandomCodes {
  let rows: Int
  let columns: Int
  let bits: Int
  let groupSize: Int
  var codes: [[Int]]
  /// [row][group]
  var scales: [[Float]]
  var zeros: [[Int]]
  var groupOf: (Int) -> Int

  var groups: Int { (columns + groupSize - 1) / groupSize }

  init(
    _ rows: Int, _ columns: Int, bits: Int, groupSize: Int, scaleType: String, seed: UInt64,
    isSymmetric: Bool
  ) {
    var random = SeededRandom(seed: seed)
    self.rows = rows
    self.columns = columns
    self.bits = bits
    self.groupSize = groupSize
    let groups = (columns + groupSize - 1) / groupSize
    codes = (0..<rows).map { _ in (0..<columns).map { _ in random.below(1 << bits) } }
    scales = (0..<rows).map { _ in
      (0..<groups).map { _ in
        Written.rounded(Float.random(in: 0.001...0.1, using: &random), scaleType)
      }
    }
    zeros = (0..<rows).map { _ in
      (0..<groups).map { _ in isSymmetric ? 1 << (bits - 1) : random.below(1 << bits) }
    }
    groupOf = { $0 / groupSize }
  }

  /// scale × (code − zero), rounded once.
  var values: [[Float]] {
    (0..<rows).map { row in
      (0..<columns).map { column in
        let group = groupOf(column)
        return scales[row][group] * Float(codes[row][column] - zeros[row][group])
      }
    }
  }
}

extension JSONValue: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}
