import Support
import WeightStore

/// One head's lines of a stored matrix with rows and columns exchanged: inputs before outputs.
///
/// Blocks of a quantized matrix lie along its lines, so its numbers arrive as f32.
struct HeadRows: RowSource {
  /// All heads' lines.
  let base: any RowSource
  let firstLine: Int
  let rows: Int
  let columns: Int

  var subject: String { base.subject }
  var files: [String] { base.files }
  var name: String { base.name }
  var firstRow: Int { firstLine }
  var format: SourceFormat { base.format.blockColumns == 1 ? base.format : .f32 }
  var identity: String { "\(base.identity), lines \(firstLine) \(rows) \(columns) exchanged" }

  func read(rows wanted: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard let to = buffer.baseAddress, !wanted.isEmpty else { return }
    let lineBytes = base.format.rowBytes(columns: rows)
    let lines = UnsafeMutableRawBufferPointer.allocate(
      byteCount: columns * lineBytes, alignment: 64)
    defer { lines.deallocate() }
    guard let from = lines.baseAddress else { return }
    try base.read(rows: firstLine..<firstLine + columns, into: lines)
    let size = format.rowBytes(columns: 1)
    if base.format.blockColumns == 1 {
      for column in 0..<columns {
        Self.deal(from + column * lineBytes, wanted, column, columns, size, to)
      }
      return
    }
    let widened = UnsafeMutablePointer<Float>.allocate(capacity: rows)
    defer { widened.deallocate() }
    for column in 0..<columns {
      base.format.widen(from + column * lineBytes, columns: rows, into: widened)
      Self.deal(UnsafeRawPointer(widened), wanted, column, columns, size, to)
    }
  }

  /// One line's numbers into their rows.
  private static func deal(
    _ line: UnsafeRawPointer, _ wanted: Range<Int>, _ column: Int, _ columns: Int, _ size: Int,
    _ to: UnsafeMutableRawPointer
  ) {
    for (at, row) in wanted.enumerated() {
      (to + (at * columns + column) * size).copyMemory(from: line + row * size, byteCount: size)
    }
  }
}
