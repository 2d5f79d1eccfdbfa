import Checkpoints
import Support
import WeightStore

/// Rows whose 4-bit floats and exponents are two tensors.
///
/// gpt-oss: `X_blocks` [.., rows, columns / 32, 16] and `X_scales` [.., rows, columns / 32], bytes.
/// MLX's mode mxfp4 has the same bytes as `X.weight` [.., rows, columns / 8] of u32 and `X.scales`.
/// Byte j of a block holds column 2j low and 2j + 1 high.
struct MXFP4Rows: RowSource {
  let codes: TensorPart
  let scales: TensorPart
  let rows: Int
  let columns: Int

  var subject: String { codes.file }
  var files: [String] { [codes.file, scales.file] }
  var name: String { codes.tensor.name }
  var firstRow: Int { 0 }
  var format: SourceFormat { .mxfp4 }

  init(codes: TensorPart, scales: TensorPart, rows: Int, columns: Int) throws(Failure) {
    guard columns % 32 == 0 else {
      throw codes.failure(.unsupported, "MXFP4 needs rows of whole groups of 32, not \(columns)")
    }
    self.codes = codes
    self.scales = scales
    self.rows = rows
    self.columns = columns
    if codes.tensor.type == .u32 {
      try codes.check(rows: rows, columns: columns / 8)
    } else {
      try codes.check(types: [.u8], rows: rows * (columns / 32), columns: 16)
    }
    try scales.check(types: [.u8], rows: rows, columns: columns / 32)
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let groups = columns / 32
    let blocks = try codes.bytes(rows.lowerBound * groups * 16..<rows.upperBound * groups * 16)
    let exponents = try scales.bytes(rows.lowerBound * groups..<rows.upperBound * groups)
    guard let base = buffer.baseAddress else { return }
    let out = base.assumingMemoryBound(to: UInt8.self)
    blocks.withUnsafeBufferPointer { blocks in
      for group in 0..<rows.count * groups {
        let to = out + group * 17
        let from = group * 16
        to[0] = exponents[group]
        // Neighbours become columns 16 apart, in GGML's order.
        for pair in 0..<8 {
          let (a, b) = (blocks[from + pair], blocks[from + 8 + pair])
          to[1 + 2 * pair] = a & 15 | b << 4
          to[2 + 2 * pair] = a >> 4 | b & 0xF0
        }
      }
    }
  }
}
