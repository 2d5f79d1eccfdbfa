import Checkpoints
import Support
import WeightStore

/// Plain numbers with inputs before outputs: the tensor holds [columns][rows] for each of its experts.
struct TransposedRows: RowSource {
  let part: TensorPart
  let rows: Int
  let columns: Int
  let format: SourceFormat
  /// Rows of one expert.
  private let stacked: Int

  var subject: String { part.file }
  var name: String { part.tensor.name }
  var firstRow: Int { 0 }

  init(_ part: TensorPart, rows: Int, columns: Int, stacked: Int) throws(Failure) {
    self.part = part
    self.rows = rows
    self.columns = columns
    self.stacked = stacked
    guard let format = PlainRows.format(part.tensor.type), format.blockColumns == 1 else {
      throw part.failure(
        .unsupported,
        "is \(part.tensor.type.rawValue), whose blocks do not lie along the rows needed",
        remedy: "Use a checkpoint in bf16")
    }
    self.format = format
    let shape = part.tensor.shape
    let leading = shape.dropLast().reduce(1) { $0 * $1 }
    guard shape.count >= 2, shape[shape.count - 1] == stacked, shape[shape.count - 2] == columns,
      leading * stacked == rows * columns, stacked > 0
    else {
      throw part.failure(
        .mismatch,
        "has shape \(shape) where the configuration asks for "
          + "[\(rows / max(stacked, 1)), \(columns), \(stacked)]",
        remedy: "The weights and the configuration are of different models")
    }
  }

  /// Each line of the tensor has one number of every row: the part that the wanted rows span is read
  /// and dealt out.
  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard let to = buffer.baseAddress else { return }
    let size = format.rowBytes(columns: 1)
    let line = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, min(stacked, rows.count)) * size, alignment: 64)
    defer { line.deallocate() }
    guard let from = line.baseAddress else { return }
    var first = rows.lowerBound
    while first < rows.upperBound {
      let (expert, at) = (first / stacked, first % stacked)
      let count = min(stacked - at, rows.upperBound - first)
      for column in 0..<columns {
        let start = ((expert * columns + column) * stacked + at) * size
        try part.read(
          start..<start + count * size,
          into: UnsafeMutableRawBufferPointer(rebasing: line[0..<count * size]))
        for row in 0..<count {
          (to + ((first - rows.lowerBound + row) * columns + column) * size).copyMemory(
            from: from + row * size, byteCount: size)
        }
      }
      first += count
    }
  }
}
