import Checkpoints
import Support
import WeightStore

/// compressed-tensors' packed integers: `X_packed` [rows, words] of i32, codes of 4 or 8 bits one after
/// another along a row; `X_scale` [rows, groups]; `X_zero_point`, packed along the rows, where the
/// groups have one; `X_g_idx` where they are not neighbours.
struct CompressedRows: RowSource {
  let codes: TensorPart
  let scales: TensorPart
  let zeros: TensorPart?
  let rows: Int
  let columns: Int
  private let bits: Int
  private let words: Int
  private let groupCount: Int
  private let writer: CodeRows

  var subject: String { codes.file }
  var files: [String] { [codes, scales, zeros].compactMap { $0?.file } }
  var name: String { codes.tensor.name }
  var firstRow: Int { 0 }
  var format: SourceFormat { writer.format }

  init(
    codes: TensorPart, scales: TensorPart, zeros: TensorPart?, groupIndex: TensorPart?,
    shape: TensorPart?, rows: Int, columns: Int
  ) throws(Failure) {
    self.codes = codes
    self.scales = scales
    self.zeros = zeros
    self.rows = rows
    self.columns = columns
    let words = codes.tensor.shape.last ?? 0
    self.words = words
    guard let bits = [4, 8].first(where: { (columns * $0 + 31) / 32 == words }) else {
      throw codes.failure(
        .unsupported,
        "has rows of \(words) words, where \(columns) columns of 4 bits give "
          + "\((columns + 7) / 8) and of 8 bits \((columns + 3) / 4)")
    }
    self.bits = bits
    try codes.check(types: [.i32], rows: rows, columns: words)
    if let shape {
      let sides = try shape.integers()
      guard sides == [rows, columns] else {
        throw shape.failure(
          .mismatch, "says \(sides) where the configuration asks for [\(rows), \(columns)]")
      }
    }
    groupCount = scales.tensor.shape.count == 2 ? scales.tensor.shape[1] : 1
    guard groupCount > 0, columns % groupCount == 0 else {
      throw scales.failure(
        .unsupported, "has \(groupCount) groups, which do not divide rows of \(columns) columns")
    }
    try scales.check(types: [.bf16, .f16, .f32], rows: rows, columns: groupCount)
    if let zeros {
      let isPacked = zeros.tensor.type == .i32
      try zeros.check(
        types: [.i32, .i8], rows: isPacked ? (rows * bits + 31) / 32 : rows, columns: groupCount)
    }
    writer = CodeRows(
      columns: columns, groupSize: columns / groupCount,
      format: CodeRows.format(
        bits: bits, columns: columns, groupSize: columns / groupCount, isSymmetric: zeros == nil,
        scales: scales.tensor.type == .f16 ? .f16 : scales.tensor.type == .bf16 ? .bf16 : .f32,
        reorders: groupIndex != nil),
      groups: try groupIndex?.groupIndex(columns: columns, groups: groupCount))
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let packed = try codes.bytes(rows.lowerBound * words * 4..<rows.upperBound * words * 4)
    let groups = rows.lowerBound * groupCount..<rows.upperBound * groupCount
    var parameters = try scales.floats(groups).map { CodeRows.Parameters(scale: $0, bias: 0) }
    let zero = try zeroPoints(rows)
    for at in parameters.indices {
      parameters[at].bias = -parameters[at].scale * Float(zero?[at] ?? 1 << (bits - 1))
    }
    guard let base = buffer.baseAddress else { return }
    let rowBytes = format.rowBytes(columns: columns)
    var unpacked = [UInt8](repeating: 0, count: columns)
    for row in 0..<rows.count {
      packed.withUnsafeBufferPointer { packed in
        unpacked.withUnsafeMutableBufferPointer {
          PackedCodes.unpack(packed, from: row * words * 4, bits: bits, into: $0)
        }
      }
      parameters.withUnsafeBufferPointer {
        guard let first = $0.baseAddress else { return }
        writer.write(unpacked, first + row * groupCount, to: base + row * rowBytes)
      }
    }
  }

  /// Zero points as unsigned codes, [rows][groups].
  private func zeroPoints(_ rows: Range<Int>) throws(Failure) -> [Int]? {
    guard let zeros else { return nil }
    if zeros.tensor.type == .i8 {
      let bytes = try zeros.bytes(rows.lowerBound * groupCount..<rows.upperBound * groupCount)
      return bytes.map { Int(Int8(bitPattern: $0)) + 1 << (bits - 1) }
    }
    let perWord = 32 / bits
    let lines = rows.lowerBound / perWord..<(rows.upperBound + perWord - 1) / perWord
    let bytes = try zeros.bytes(
      lines.lowerBound * groupCount * 4..<lines.upperBound * groupCount * 4)
    return bytes.withUnsafeBytes { bytes in
      var result: [Int] = []
      result.reserveCapacity(rows.count * groupCount)
      for row in rows {
        let line = (row / perWord - lines.lowerBound) * groupCount
        for group in 0..<groupCount {
          let word = bytes.loadUnaligned(fromByteOffset: 4 * (line + group), as: UInt32.self)
          result.append(Int(word >> UInt32(row % perWord * bits) & UInt32(1 << bits - 1)))
        }
      }
      return result
    }
  }
}
