import Support

/// A few rows of a source in memory, read in pieces large enough for a disk to like.
struct RowWindow: ~Copyable {
  private static let readBytes = 1 << 20

  private let buffer: UnsafeMutableRawBufferPointer
  private var source: (any RowSource)?
  private var loaded = 0..<0
  /// Bytes read since the counter was last taken.
  private(set) var bytesRead = 0

  init(capacity: Int) {
    buffer = .allocate(byteCount: max(capacity, 64), alignment: 64)
  }

  deinit { buffer.deallocate() }

  /// Rows read at once: whole blocks, about a megabyte.
  static func rows(rowBytes: Int) -> Int {
    max(1, readBytes / max(rowBytes, 1) / MatrixLayout.blockRows) * MatrixLayout.blockRows
  }

  /// Starts on a source, whose rows up to `limit` will be asked for in ascending order.
  mutating func start(_ source: any RowSource) {
    self.source = source
    loaded = 0..<0
  }

  mutating func takeBytesRead() -> Int {
    defer { bytesRead = 0 }
    return bytesRead
  }

  /// The first byte of `rows`, at most a block; rows from `limit` on are not read ahead.
  mutating func bytes(of rows: Range<Int>, limit: Int) throws(Failure) -> UnsafeRawPointer? {
    guard let source, let base = buffer.baseAddress else { return nil }
    let rowBytes = source.rowBytes
    if !(loaded.lowerBound <= rows.lowerBound && rows.upperBound <= loaded.upperBound) {
      let end = min(limit, rows.lowerBound + Self.rows(rowBytes: rowBytes))
      let wanted = rows.lowerBound..<max(end, rows.upperBound)
      loaded = 0..<0
      try source.read(
        rows: wanted,
        into: UnsafeMutableRawBufferPointer(start: base, count: wanted.count * rowBytes))
      loaded = wanted
      bytesRead += wanted.count * rowBytes
    }
    return UnsafeRawPointer(base + (rows.lowerBound - loaded.lowerBound) * rowBytes)
  }
}
