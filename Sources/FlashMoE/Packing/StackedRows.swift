import Support
import WeightStore

/// Sources of the same shape one below the other, each padded with zero rows to full blocks, so that
/// each is a matrix of its own to a kernel.
struct StackedRows: RowSource {
  let parts: [any RowSource]
  private let partRows: Int
  private let pitch: Int
  let subject: String
  let name: String
  let columns: Int
  let format: SourceFormat

  /// nil for parts of several shapes or formats, or none.
  init?(_ parts: [any RowSource]) {
    guard let first = parts.first,
      parts.allSatisfy({
        $0.rows == first.rows && $0.columns == first.columns && $0.format == first.format
      })
    else { return nil }
    self.parts = parts
    partRows = first.rows
    pitch =
      (first.rows + MatrixLayout.blockRows - 1) / MatrixLayout.blockRows
      * MatrixLayout.blockRows
    subject = first.subject
    name = first.name
    columns = first.columns
    format = first.format
  }

  var firstRow: Int { parts.first?.firstRow ?? 0 }
  var rows: Int { parts.count * pitch }
  var identity: String { parts.map(\.identity).joined(separator: ", ") + " stacked" }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let rowBytes = format.rowBytes(columns: columns)
    var row = rows.lowerBound
    while row < rows.upperBound {
      let (part, first) = (row / pitch, row % pitch)
      let end = min(pitch, first + rows.upperBound - row)
      let there = first..<max(first, min(end, partRows))
      let start = (row - rows.lowerBound) * rowBytes
      let middle = start + there.count * rowBytes
      if !there.isEmpty {
        try parts[part].read(
          rows: there, into: UnsafeMutableRawBufferPointer(rebasing: buffer[start..<middle]))
      }
      // Zero bytes are zeros in every format.
      let stop = start + (end - first) * rowBytes
      if stop > middle {
        UnsafeMutableRawBufferPointer(rebasing: buffer[middle..<stop]).initializeMemory(
          as: UInt8.self, repeating: 0)
      }
      row += end - first
    }
  }
}
