import Support

/// A matrix that can be read by rows: part of a checkpoint tensor, or numbers made up on the fly.
///
/// `read` is called from several threads at once and must give the same bytes every time.
public protocol RowSource: Sendable {
  /// The file the rows come from, for error messages.
  var subject: String { get }
  /// The tensor's name in that file.
  var name: String { get }
  /// Where row 0 stands in the tensor: experts stacked in one tensor start further down.
  var firstRow: Int { get }
  var rows: Int { get }
  var columns: Int { get }
  var format: SourceFormat { get }
  /// Every file that `read` reads.
  var files: [String] { get }
  /// What the fingerprint of a plan says about this source.
  var identity: String { get }

  /// Fills `buffer`, exactly `rows.count * format.rowBytes(columns:)` bytes.
  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure)
}

extension RowSource {
  public var files: [String] { [subject] }

  var rowBytes: Int { format.rowBytes(columns: columns) }
  var byteCount: Int { rows * rowBytes }

  public var identity: String { "\(name) \(firstRow) \(rows) \(columns) \(format.rawValue)" }
}
