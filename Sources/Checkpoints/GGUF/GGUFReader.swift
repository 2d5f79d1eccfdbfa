import Support

/// Reads the little-endian fields of a GGUF header one after the other.
///
/// The header is read through a window rather than mapped: a file that shrinks meanwhile is then
/// an error and not a signal.  Nothing is allocated for a count before that many elements can
/// still be in the file.
struct GGUFReader {
  private let file: WeightFile
  private var window: [UInt8] = []
  /// Where the window starts in the file, and the next byte within it.
  private var windowStart = 0
  private var at = 0
  /// What is being read, for error messages.
  var place = "header"

  /// No vocabulary comes near this; it bounds the memory that a hostile header can ask for.
  static let maximumHeaderBytes = 1 << 28
  static let maximumStringBytes = 1 << 26
  private static let windowBytes = 1 << 18

  init(_ file: WeightFile) { self.file = file }

  var path: String { file.path }
  var offset: Int { windowStart + at }
  var remaining: Int { file.byteCount - offset }

  func malformed(_ problem: String) -> Failure {
    Failure(.malformed, file.path, at: "\(place), byte \(offset)", problem)
  }

  /// Makes `count` contiguous bytes available in the window.
  private mutating func need(_ count: Int) throws(Failure) {
    guard window.count - at < count else { return }
    guard count <= remaining else {
      throw Failure(
        .malformed, file.path, at: "\(place), byte \(offset)",
        "the file ends inside the header: \(count - remaining) bytes are missing",
        remedy: "It is truncated or damaged: download or copy it again")
    }
    guard offset + count <= Self.maximumHeaderBytes else {
      throw malformed("the header is larger than \(ByteCount.format(Self.maximumHeaderBytes))")
    }
    windowStart = offset
    at = 0
    let length = min(max(count, Self.windowBytes), remaining)
    window = try file.bytes(windowStart..<windowStart + length)
  }

  mutating func integer<Value: FixedWidthInteger>(_ type: Value.Type) throws(Failure) -> Value {
    try need(MemoryLayout<Value>.size)
    let value = window.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: Value.self) }
    at += MemoryLayout<Value>.size
    return Value(littleEndian: value)
  }

  mutating func bytes(_ count: Int) throws(Failure) -> [UInt8] {
    try need(count)
    defer { at += count }
    return Array(window[at..<at + count])
  }

  /// A count or length: a u64 that must fit the file if each of its elements takes at least
  /// `elementBytes`.
  mutating func count(of what: String, elementBytes: Int) throws(Failure) -> Int {
    let raw = try integer(UInt64.self)
    guard raw <= UInt64(remaining / elementBytes) else {
      throw malformed("\(raw) \(what) cannot be in the \(remaining) bytes that are left")
    }
    return Int(raw)
  }

  mutating func string(_ what: String, maximumBytes: Int = maximumStringBytes) throws(Failure)
    -> String
  {
    let length = try count(of: "bytes of \(what)", elementBytes: 1)
    guard length <= maximumBytes else {
      throw malformed("a \(what) of \(length) bytes, where at most \(maximumBytes) make sense")
    }
    try need(length)
    let text = window.withUnsafeBytes {
      String(validating: UnsafeRawBufferPointer(rebasing: $0[at..<at + length]), as: UTF8.self)
    }
    guard let text else { throw malformed("a \(what) is not UTF-8 text") }
    at += length
    return text
  }
}
