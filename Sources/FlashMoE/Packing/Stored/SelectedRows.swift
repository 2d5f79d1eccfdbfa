import Support
import WeightStore

/// The rows that a catalog asks for, of a matrix that is stored in whatever way.
struct SelectedRows: RowSource {
  /// All rows of the stored tensor.
  let matrix: any RowSource
  let source: TensorCatalog.Source

  var firstRow: Int { source.firstRow }
  var rows: Int { source.rows }
  var columns: Int { source.columns }
  var subject: String { matrix.subject }
  var files: [String] { matrix.files }
  var name: String { matrix.name }
  var format: SourceFormat { matrix.format }

  var identity: String {
    let plain = "\(name) \(firstRow) \(rows) \(columns) \(format.rawValue)"
    if source.isPlain { return plain }
    return plain + " \(source.rowStep) \(source.order) \(source.transposedRows ?? 0)"
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    if source.rowStep == 1, source.order == .ascending {
      return try matrix.read(
        rows: firstRow + rows.lowerBound..<firstRow + rows.upperBound, into: buffer)
    }
    try readScattered(rows, into: buffer)
  }

  /// Rows that do not follow each other: what they span is read in pieces and picked from.
  private func readScattered(
    _ wanted: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    let rowBytes = format.rowBytes(columns: columns)
    let places = wanted.map { source.tensorRow($0) }
    guard let least = places.min(), let greatest = places.max() else { return }
    guard greatest - least < 8 * wanted.count + 64 else {
      for (at, place) in places.enumerated() {
        try matrix.read(
          rows: place..<place + 1,
          into: UnsafeMutableRawBufferPointer(
            rebasing: buffer[at * rowBytes..<(at + 1) * rowBytes]))
      }
      return
    }
    let span = greatest - least + 1
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: span * rowBytes, alignment: 64)
    defer { whole.deallocate() }
    try matrix.read(rows: least..<least + span, into: whole)
    for (at, place) in places.enumerated() {
      let from = (place - least) * rowBytes
      UnsafeMutableRawBufferPointer(rebasing: buffer[at * rowBytes..<(at + 1) * rowBytes])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[from..<from + rowBytes]))
    }
  }
}

extension TensorCatalog.Source {
  /// Where row `row` of the matrix is among the tensor's rows.
  func tensorRow(_ row: Int) -> Int {
    switch order {
    case .ascending: return firstRow + row * rowStep
    case .rows(let rows): return firstRow + rows[row] * rowStep
    case .interleavedHalves(let dimension):
      let (head, at) = (row / dimension, row % dimension)
      let half = dimension / 2
      return firstRow + (head * dimension + at % half * 2 + at / half) * rowStep
    }
  }
}

/// A matrix seen as one row: vectors whose numbers do not lie side by side in the checkpoint.
struct FlatRows: RowSource {
  let base: any RowSource

  var subject: String { base.subject }
  var files: [String] { base.files }
  var name: String { base.name }
  var firstRow: Int { base.firstRow }
  var rows: Int { 1 }
  var columns: Int { base.rows * base.columns }
  var format: SourceFormat { base.format }
  var identity: String { base.identity + " flat" }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard !rows.isEmpty else { return }
    try base.read(rows: 0..<base.rows, into: buffer)
  }
}
