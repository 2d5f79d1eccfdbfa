import Checkpoints
import Support
import WeightStore

/// MLX's affine rows: `X.weight` of u32 holds codes of 2 to 8 bits one after another, lowest bits
/// first; `X.scales` and `X.biases` one number a group.  A value is scale × code + bias.
struct AffineRows: RowSource {
  let codes: TensorPart
  let scales: TensorPart
  let biases: TensorPart
  let rows: Int
  let columns: Int
  private let bits: Int
  private let groupCount: Int
  private let writer: CodeRows

  var subject: String { codes.file }
  var files: [String] { [codes.file, scales.file, biases.file] }
  var name: String { codes.tensor.name }
  var firstRow: Int { 0 }
  var format: SourceFormat { writer.format }
  private var codeBytes: Int { columns * bits / 8 }

  init(
    codes: TensorPart, scales: TensorPart, biases: TensorPart,
    expected: StoredQuantization.MLX.Width?, rows: Int, columns: Int
  ) throws(Failure) {
    self.codes = codes
    self.scales = scales
    self.biases = biases
    self.rows = rows
    self.columns = columns
    let words = codes.tensor.shape.last ?? 0
    groupCount = scales.tensor.shape.last ?? 0
    guard columns > 0, words * 32 % columns == 0, [2, 3, 4, 5, 6, 8].contains(words * 32 / columns)
    else {
      throw codes.failure(
        .mismatch,
        "has rows of \(words) words, which \(columns) columns of 2 to 8 bits do not give",
        remedy: "The weights and the configuration are of different models")
    }
    bits = words * 32 / columns
    guard groupCount > 0, columns % groupCount == 0 else {
      throw scales.failure(.mismatch, "has \(groupCount) groups for rows of \(columns) columns")
    }
    let groupSize = columns / groupCount
    if let expected, expected.bits != bits || expected.groupSize != groupSize {
      throw codes.failure(
        .mismatch,
        "holds \(bits) bits in groups of \(groupSize), where config.json says \(expected.bits) bits "
          + "in groups of \(expected.groupSize)")
    }
    try codes.check(types: [.u32], rows: rows, columns: words)
    try scales.check(types: [.bf16, .f16, .f32], rows: rows, columns: groupCount)
    try biases.check(types: [scales.tensor.type], rows: rows, columns: groupCount)
    var format = SourceFormat.f32
    if bits == 4, groupSize % 64 == 0 {
      format = scales.tensor.type == .bf16 ? .affine4 : .affine4Wide
    }
    writer = CodeRows(columns: columns, groupSize: groupSize, format: format)
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let packed = try codes.bytes(rows.lowerBound * codeBytes..<rows.upperBound * codeBytes)
    let groups = rows.lowerBound * groupCount..<rows.upperBound * groupCount
    let (scale, bias) = (try scales.floats(groups), try biases.floats(groups))
    let parameters = zip(scale, bias).map { CodeRows.Parameters(scale: $0, bias: $1) }
    guard let base = buffer.baseAddress else { return }
    let rowBytes = format.rowBytes(columns: columns)
    var unpacked = [UInt8](repeating: 0, count: columns)
    for row in 0..<rows.count {
      packed.withUnsafeBufferPointer { packed in
        unpacked.withUnsafeMutableBufferPointer {
          PackedCodes.unpack(packed, from: row * codeBytes, bits: bits, into: $0)
        }
      }
      parameters.withUnsafeBufferPointer {
        guard let first = $0.baseAddress else { return }
        writer.write(unpacked, first + row * groupCount, to: base + row * rowBytes)
      }
    }
  }
}

/// Codes one after another, lowest bits first, whatever their width.
enum PackedCodes {
  static func unpack(
    _ bytes: UnsafeBufferPointer<UInt8>, from start: Int, bits: Int,
    into out: UnsafeMutableBufferPointer<UInt8>
  ) {
    let mask = UInt32(1 << bits - 1)
    var (held, count, at) = (UInt32(0), 0, start)
    for index in out.indices {
      if count < bits {
        held |= UInt32(bytes[at]) << UInt32(count)
        at += 1
        count += 8
      }
      out[index] = UInt8(held & mask)
      held >>= UInt32(bits)
      count -= bits
    }
  }
}
