import Checkpoints
import Support
import WeightStore

/// Rows of 8-bit floats (e4m3) times scales: one for all, one a row, or one a block of rows and
/// columns, as DeepSeek and Qwen publish them.  They arrive as f32, rounded once.
struct FP8Rows: RowSource {
  let part: TensorPart
  let rows: Int
  let columns: Int
  private let scales: [Float]
  private let scaleColumns: Int
  private let block: (rows: Int, columns: Int)
  /// Rows of one expert: blocks do not reach from one into the next.
  private let expertRows: Int
  private let expertScaleRows: Int

  var subject: String { part.file }
  var name: String { part.tensor.name }
  var firstRow: Int { 0 }
  var format: SourceFormat { .f32 }

  /// - Parameter scale: `X_scale_inv` or `X_scale`; nil where the numbers stand for themselves.
  init(
    _ part: TensorPart, scale: TensorPart?, block: StoredQuantization.Block?, rows: Int,
    columns: Int
  ) throws(Failure) {
    try part.check(types: [.f8e4m3], rows: rows, columns: columns)
    self.part = part
    self.rows = rows
    self.columns = columns
    guard let scale else {
      scales = [1]
      scaleColumns = 1
      self.block = (max(rows, 1), max(columns, 1))
      expertRows = rows
      expertScaleRows = 1
      return
    }
    scales = try scale.floats()
    let shape = part.tensor.shape
    expertRows = shape.count > 1 ? shape[shape.count - 2] : rows
    let experts = expertRows > 0 ? rows / expertRows : 0
    let sides = block ?? StoredQuantization.Block(rows: 128, columns: 128)
    let down = (expertRows + sides.rows - 1) / sides.rows
    let across = (columns + sides.columns - 1) / sides.columns
    let found = scale.tensor.shape
    if found.last == across, scales.count == experts * down * across, found.count >= 2 {
      (scaleColumns, expertScaleRows) = (across, down)
      self.block = (sides.rows, sides.columns)
    } else if scales.count == rows, found.last == 1 || found.count == 1, rows > 1 {
      (scaleColumns, expertScaleRows) = (1, expertRows)
      self.block = (1, columns)
    } else if scales.count == 1 || scales.count == experts {
      (scaleColumns, expertScaleRows) = (1, scales.count == 1 ? 0 : 1)
      self.block = (expertRows, columns)
    } else {
      throw scale.failure(
        .mismatch,
        "has shape \(found), which is neither a scale a block of \(sides.rows) by "
          + "\(sides.columns), nor a row, nor for all of \(part.tensor.name) \(shape)")
    }
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let codes = try part.bytes(rows.lowerBound * columns..<rows.upperBound * columns)
    let out = buffer.assumingMemoryBound(to: Float.self)
    Self.values.withUnsafeBufferPointer { values in
      for row in rows {
        let from = (row - rows.lowerBound) * columns
        let line =
          (row / expertRows * expertScaleRows + row % expertRows / block.rows) * scaleColumns
        var column = 0
        while column < columns {
          let scale = scales[line + column / block.columns]
          let end = min(columns, (column / block.columns + 1) * block.columns)
          while column < end {
            out[from + column] = values[Int(codes[from + column])] * scale
            column += 1
          }
        }
      }
    }
  }

  /// What each byte stands for: a sign, four bits of exponent with bias 7, three of mantissa; no
  /// infinities, and all ones is not a number.
  static let values: [Float] = (0..<256).map { code in
    let (exponent, mantissa) = (code >> 3 & 15, Float(code & 7))
    if code & 127 == 127 { return .nan }
    let magnitude =
      exponent == 0
      ? mantissa * 0x1p-9
      : (1 + mantissa / 8) * Float(sign: .plus, exponent: exponent - 7, significand: 1)
    return code < 128 ? magnitude : -magnitude
  }
}
