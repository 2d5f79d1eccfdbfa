import CKernels
import Support

/// What storing some weights in a scheme changed.
struct PieceError: Sendable, Equatable {
  /// Sum of squared errors.
  var squaredError = 0.0
  /// Sum of squares of the source; zero where nothing was lost and nothing was measured.
  var squares = 0.0

  mutating func add(_ other: PieceError) {
    squaredError += other.squaredError
    squares += other.squares
  }
}

/// Turns up to 16 source rows into one stored block, losslessly where the scheme allows.
struct BlockConverter: ~Copyable {
  enum Problem: Error {
    /// A source row, counted from the first one given, holds NaN or infinity.
    case notFinite(row: Int)
    /// A value is too large for the scheme's scales or exponents.
    case outOfRange
  }

  /// 16 rows as f32.
  private let scratch: UnsafeMutableBufferPointer<Float>

  init(scratchBytes: Int) {
    let raw = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(scratchBytes, 64), alignment: 64)
    scratch = raw.bindMemory(to: Float.self)
  }

  deinit { scratch.deallocate() }

  /// - Parameters:
  ///   - rows: `valid` rows of `columns` numbers in `format`, one after another.
  ///   - block: `MatrixLayout.blockBytes` bytes, 64-byte aligned.
  func convert(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat, scheme: Scheme,
    search: Bool, into block: UnsafeMutableRawPointer
  ) throws(Problem) -> PieceError {
    let rowBytes = format.rowBytes(columns: columns)
    if format.isQuantized {
      if let bad = GGMLRows.firstBadRow(rows, count: valid, columns: columns, format: format) {
        throw .notFinite(row: bad)
      }
      if format == .q4_0, scheme == .q4 {
        fm_pack_block_q4_0(
          rows.assumingMemoryBound(to: UInt8.self), rowBytes, valid, columns, block)
        return PieceError()
      }
      if scheme == .q8 {
        packQ8(rows, valid: valid, columns: columns, format: format, into: block)
        return PieceError()
      }
    }
    let values = try floats(rows, valid: valid, columns: columns, format: format)
    // Finite floats cannot overflow a double's sum of squares: not finite means a bad value.
    let squares = Self.sumOfSquares(values, valid * columns)
    guard squares.isFinite else {
      let bad = (0..<valid).first { !Self.sumOfSquares(values + $0 * columns, columns).isFinite }
      throw .notFinite(row: bad ?? 0)
    }
    let error = fm_pack_block(
      scheme.kernelScheme, values, columns, valid, columns, search, block)
    guard error.isFinite else { throw .outOfRange }
    if format.isExact(in: scheme) { return PieceError() }
    return PieceError(squaredError: error, squares: squares)
  }

  /// The one row of a vector.
  func convertVector(
    _ row: UnsafeRawPointer, count: Int, format: SourceFormat, into out: UnsafeMutableRawPointer
  ) throws(Problem) {
    let values = try floats(row, valid: 1, columns: count, format: format)
    guard Self.sumOfSquares(values, count).isFinite else { throw .notFinite(row: 0) }
    out.copyMemory(from: values, byteCount: count * 4)
  }

  private func packQ8(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat,
    into block: UnsafeMutableRawPointer
  ) {
    guard format == .q4_0, let scratch = scratch.baseAddress else {
      fm_pack_block_q8_0(
        rows.assumingMemoryBound(to: UInt8.self), format.rowBytes(columns: columns), valid, columns,
        block)
      return
    }
    let stride = SourceFormat.q8_0.rowBytes(columns: columns)
    let wide = UnsafeMutableRawPointer(scratch)
    for row in 0..<valid {
      GGMLRows.widenToQ8(
        rows + row * format.rowBytes(columns: columns), columns: columns, into: wide + row * stride)
    }
    fm_pack_block_q8_0(wide.assumingMemoryBound(to: UInt8.self), stride, valid, columns, block)
  }

  private func floats(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat
  ) throws(Problem) -> UnsafePointer<Float> {
    guard let scratch = scratch.baseAddress else { throw .outOfRange }
    switch format {
    case .f32: return rows.assumingMemoryBound(to: Float.self)
    case .f16: fm_widen_f16(rows.assumingMemoryBound(to: UInt16.self), valid * columns, scratch)
    case .bf16: fm_widen_bf16(rows.assumingMemoryBound(to: UInt16.self), valid * columns, scratch)
    case .q4_0, .q8_0:
      if let bad = GGMLRows.firstBadRow(rows, count: valid, columns: columns, format: format) {
        throw .notFinite(row: bad)
      }
      let rowBytes = format.rowBytes(columns: columns)
      for row in 0..<valid {
        GGMLRows.widen(
          rows + row * rowBytes, columns: columns, format: format, into: scratch + row * columns)
      }
    }
    return UnsafePointer(scratch)
  }

  /// In a fixed order with four running sums, so that it is both fast and reproducible.
  static func sumOfSquares(_ values: UnsafePointer<Float>, _ count: Int) -> Double {
    var (a, b, c, d) = (0.0, 0.0, 0.0, 0.0)
    var at = 0
    while at + 4 <= count {
      let (w, x) = (Double(values[at]), Double(values[at + 1]))
      let (y, z) = (Double(values[at + 2]), Double(values[at + 3]))
      a += w * w
      b += x * x
      c += y * y
      d += z * z
      at += 4
    }
    while at < count {
      a += Double(values[at]) * Double(values[at])
      at += 1
    }
    return (a + b) + (c + d)
  }
}
