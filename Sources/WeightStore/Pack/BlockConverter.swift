import CKernels
import Support

/// What storing some weights in a scheme changed.
struct PieceError: Sendable, Equatable {
  /// Sum of squared errors.
  var squaredError = 0.0
  /// Sum of squares of the source; zero where nothing was lost and nothing was measured.
  var squares = 0.0
  /// Greatest magnitude of an error.
  var greatestError: Float = 0

  mutating func add(_ other: PieceError) {
    squaredError += other.squaredError
    squares += other.squares
    greatestError = max(greatestError, other.greatestError)
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
    search: Bool, importance: [Float]? = nil, into block: UnsafeMutableRawPointer
  ) throws(Problem) -> PieceError {
    if KeptRows.keeps(format, in: scheme) {
      if let bad = KeptRows.firstBadRow(rows, count: valid, columns: columns, format: format) {
        throw .notFinite(row: bad)
      }
      keep(rows, valid: valid, columns: columns, format: format, scheme: scheme, into: block)
      if format.isExact(in: scheme) { return PieceError() }
      return try measure(
        rows, valid: valid, columns: columns, format: format, scheme: scheme, block: block)
    }
    let values = try floats(rows, valid: valid, columns: columns, format: format)
    let squares = try finiteSquares(values, valid: valid, columns: columns)
    let error: fm_pack_error
    if search, let importance, importance.count == columns {
      error = fm_pack_block_weighted(
        fm_best_level(), scheme.kernelScheme, values, columns, valid, columns, importance, block)
    } else {
      error = fm_pack_block(scheme.kernelScheme, values, columns, valid, columns, search, block)
    }
    guard error.squares.isFinite else { throw .outOfRange }
    if format.isExact(in: scheme) { return PieceError() }
    return PieceError(
      squaredError: error.squares, squares: squares, greatestError: error.greatest)
  }

  /// The one row of a vector.
  func convertVector(
    _ row: UnsafeRawPointer, count: Int, format: SourceFormat, into out: UnsafeMutableRawPointer
  ) throws(Problem) {
    let values = try floats(row, valid: 1, columns: count, format: format)
    guard Self.sumOfSquares(values, count).isFinite else { throw .notFinite(row: 0) }
    out.copyMemory(from: values, byteCount: count * 4)
  }

  /// Rearranges codes; nothing is computed but the rounding of wide scales.
  private func keep(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat, scheme: Scheme,
    into block: UnsafeMutableRawPointer
  ) {
    let bytes = rows.assumingMemoryBound(to: UInt8.self)
    let stride = format.rowBytes(columns: columns)
    switch (format, scheme) {
    case (.q4_0, .q8):
      guard let scratch = scratch.baseAddress else { return }
      let wideStride = SourceFormat.q8_0.rowBytes(columns: columns)
      let wide = UnsafeMutableRawPointer(scratch)
      for row in 0..<valid {
        KeptRows.widenToQ8(
          rows + row * stride, columns: columns, into: wide + row * wideStride)
      }
      fm_pack_block_q8_0(
        wide.assumingMemoryBound(to: UInt8.self), wideStride, valid, columns, block)
    case (.q8_0, _): fm_pack_block_q8_0(bytes, stride, valid, columns, block)
    case (.mxfp4, _): fm_pack_block_mxfp4(bytes, stride, valid, columns, block)
    case (.affine4, _): fm_pack_block_affine(bytes, stride, valid, columns, false, block)
    case (.affine4Wide, _): fm_pack_block_affine(bytes, stride, valid, columns, true, block)
    default: fm_pack_block_q4_0(bytes, stride, valid, columns, block)
    }
  }

  /// What a block differs by from the rows it was made of.
  private func measure(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat, scheme: Scheme,
    block: UnsafeRawPointer
  ) throws(Problem) -> PieceError {
    let values = try floats(rows, valid: valid, columns: columns, format: format)
    let squares = try finiteSquares(values, valid: valid, columns: columns)
    var matrix = fm_matrix(
      data: block.assumingMemoryBound(to: UInt8.self), rows: UInt32(valid),
      columns: UInt32(columns), scheme: scheme.kernelScheme)
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: columns) { stored in
      var result = PieceError(squares: squares)
      guard let base = stored.baseAddress else { return result }
      for row in 0..<valid {
        fm_unpack_row(&matrix, row, base)
        for column in 0..<columns {
          let difference = values[row * columns + column] - base[column]
          result.squaredError += Double(difference) * Double(difference)
          result.greatestError = max(result.greatestError, abs(difference))
        }
      }
      return result
    }
  }

  /// Finite floats cannot overflow a double's sum of squares: not finite means a bad value.
  private func finiteSquares(_ values: UnsafePointer<Float>, valid: Int, columns: Int)
    throws(Problem) -> Double
  {
    let squares = Self.sumOfSquares(values, valid * columns)
    guard squares.isFinite else {
      let bad = (0..<valid).first { !Self.sumOfSquares(values + $0 * columns, columns).isFinite }
      throw .notFinite(row: bad ?? 0)
    }
    return squares
  }

  private func floats(
    _ rows: UnsafeRawPointer, valid: Int, columns: Int, format: SourceFormat
  ) throws(Problem) -> UnsafePointer<Float> {
    guard let scratch = scratch.baseAddress else { throw .outOfRange }
    switch format {
    case .f32: return rows.assumingMemoryBound(to: Float.self)
    case .f16: fm_widen_f16(rows.assumingMemoryBound(to: UInt16.self), valid * columns, scratch)
    case .bf16: fm_widen_bf16(rows.assumingMemoryBound(to: UInt16.self), valid * columns, scratch)
    default:
      guard let kind = format.rowFormat else { throw .outOfRange }
      let rowBytes = format.rowBytes(columns: columns)
      for row in 0..<valid {
        fm_unpack_format(
          kind, (rows + row * rowBytes).assumingMemoryBound(to: UInt8.self), columns,
          scratch + row * columns)
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
