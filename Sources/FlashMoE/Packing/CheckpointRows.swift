import Checkpoints
import Support
import WeightStore

/// Rows of one checkpoint tensor as a source for the packer.
struct CheckpointRows: RowSource {
  let checkpoint: Checkpoint
  let tensor: TensorDescription
  let source: TensorCatalog.Source
  let format: SourceFormat

  var firstRow: Int { source.firstRow }
  var rows: Int { source.rows }
  var columns: Int { source.columns }
  var subject: String { checkpoint.files[tensor.file] }
  var name: String { tensor.name }

  var identity: String {
    let plain = "\(name) \(firstRow) \(rows) \(columns) \(format.rawValue)"
    if source.isPlain { return plain }
    return plain + " \(source.rowStep) \(source.order) \(source.transposedRows ?? 0) "
      + "\(source.transposedLines ?? 0)"
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    if let stacked = source.transposedRows {
      return try readTransposed(rows, of: stacked, into: buffer)
    }
    guard source.isPlain else { return try readScattered(rows, into: buffer) }
    try readTensor(firstRow + rows.lowerBound, count: rows.count, into: buffer)
  }

  /// Consecutive rows as the tensor has them.
  private func readTensor(
    _ first: Int, count: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    let rowBytes = format.rowBytes(columns: columns)
    let begin = first * rowBytes
    try checkpoint.read(tensor, bytes: begin..<begin + count * rowBytes, into: buffer)
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
        try readTensor(
          place, count: 1,
          into: UnsafeMutableRawBufferPointer(
            rebasing: buffer[at * rowBytes..<(at + 1) * rowBytes]))
      }
      return
    }
    let span = greatest - least + 1
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: span * rowBytes, alignment: 64)
    defer { whole.deallocate() }
    try readTensor(least, count: span, into: whole)
    for (at, place) in places.enumerated() {
      let from = (place - least) * rowBytes
      UnsafeMutableRawBufferPointer(rebasing: buffer[at * rowBytes..<(at + 1) * rowBytes])
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[from..<from + rowBytes]))
    }
  }

  /// Rows of a tensor that holds [columns][rows] for each expert: each of its lines has one number
  /// of every row, so the part of a line that the wanted rows span is read and dealt out.
  private func readTransposed(
    _ wanted: Range<Int>, of stacked: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    let size = format.rowBytes(columns: 1)
    let places = wanted.map { source.tensorRow($0) }
    guard let least = places.min(), let greatest = places.max() else { return }
    let expert = least / stacked
    guard greatest / stacked == expert else {
      throw Failure(.mismatch, subject, at: "tensor \(name)", "rows straddle two experts")
    }
    let lines = source.transposedLines ?? columns
    let span = greatest - least + 1
    let line = UnsafeMutableRawBufferPointer.allocate(byteCount: span * size, alignment: 64)
    defer { line.deallocate() }
    guard let from = line.baseAddress, let to = buffer.baseAddress else { return }
    for column in 0..<columns {
      let first = ((expert * lines + column) * stacked + least % stacked) * size
      try checkpoint.read(tensor, bytes: first..<first + span * size, into: line)
      for (at, place) in places.enumerated() {
        (to + (at * columns + column) * size).copyMemory(
          from: from + (place - least) * size, byteCount: size)
      }
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
