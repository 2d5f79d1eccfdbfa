import Support

/// Which units of an unfinished pack are in its files, one line each.
///
/// A line carries the checksum of the unit's bytes and of itself, and what quantizing cost.
/// Nothing here is believed on its own: a unit counts as done only when its bytes, read back,
/// still have the checksum.  So neither a torn line nor pages that a power cut took can harm, and
/// no flush is needed while packing.
struct PackJournal: ~Copyable {
  struct Entry: Sendable, Equatable {
    var unit: Int
    var checksum: Checksum
    /// One entry a piece of the unit.
    var errors: [PieceError]
  }

  enum Content {
    /// No journal, or one whose first line cannot be read.
    case none
    case plan(fingerprint: Checksum, name: String)
  }

  private static let magic = "fmoe-journal-2"
  private let file: File
  private var end: Int
  private(set) var entries: [Int: Entry] = [:]

  /// What an existing journal belongs to.
  static func content(at path: String) throws(Failure) -> Content {
    guard FileSystem.exists(path) else { return .none }
    guard let first = try lines(of: path).first, let parts = fields(first, atLeast: 3),
      parts[0] == magic, let fingerprint = Checksum(hexadecimal: parts[1])
    else { return .none }
    return .plan(fingerprint: fingerprint, name: parts[2...].joined(separator: " "))
  }

  private init(file: consuming File, end: Int, entries: [Int: Entry]) {
    self.file = file
    self.end = end
    self.entries = entries
  }

  /// Begins a journal, replacing whatever is there.
  static func create(_ path: String, fingerprint: Checksum, name: String) throws(Failure)
    -> PackJournal
  {
    var journal = PackJournal(file: try File(path, .truncate), end: 0, entries: [:])
    let label = String(name.map { $0.isNewline ? " " : $0 })
    try journal.append("\(magic) \(fingerprint) \(label)")
    return journal
  }

  /// Continues one that `content(at:)` found to fit; what follows a damaged line is forgotten.
  static func resume(_ path: String, unitCount: Int) throws(Failure) -> PackJournal {
    var entries: [Int: Entry] = [:]
    var end = 0
    for (at, line) in try lines(of: path).enumerated() {
      guard let parts = fields(line, atLeast: 2) else { break }
      if at > 0 {
        guard let entry = entry(parts), entry.unit < unitCount else { break }
        entries[entry.unit] = entry
      }
      end += line.count + 1
    }
    let file = try File(path, .update)
    try file.truncate(to: end)
    return PackJournal(file: file, end: end, entries: entries)
  }

  mutating func add(_ entry: Entry) throws(Failure) {
    let errors = entry.errors.map {
      [$0.squaredError.bitPattern, $0.squares.bitPattern, UInt64($0.greatestError.bitPattern)]
        .map { String($0, radix: 16) }.joined(separator: " ")
    }
    try append((["\(entry.unit)", "\(entry.checksum)"] + errors).joined(separator: " "))
  }

  private mutating func append(_ text: String) throws(Failure) {
    let line = Array("\(text) \(Checksum(of: Array(text.utf8)))\n".utf8)
    var failure: Failure?
    line.withUnsafeBytes { buffer in
      do throws(Failure) { try file.write(buffer, at: end) } catch { failure = error }
    }
    if let failure { throw failure }
    end += line.count
  }

  /// Complete lines without their ends.
  private static func lines(of path: String) throws(Failure) -> [[UInt8]] {
    let bytes = try FileSystem.readBytes(path, limitBytes: 1 << 30)
    var lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).map(Array.init)
    // What follows the last newline was never finished.
    lines.removeLast()
    return lines
  }

  /// The words of a line whose checksum, its last word, is right.
  private static func fields(_ line: [UInt8], atLeast count: Int) -> [String]? {
    guard let text = String(validating: line, as: UTF8.self),
      let space = text.lastIndex(of: " "),
      let checksum = Checksum(hexadecimal: String(text[text.index(after: space)...])),
      Checksum(of: Array(text[..<space].utf8)) == checksum
    else { return nil }
    let parts = text[..<space].split(separator: " ").map(String.init)
    return parts.count >= count ? parts : nil
  }

  private static func entry(_ parts: [String]) -> Entry? {
    guard let unit = Int(parts[0]), unit >= 0, let checksum = Checksum(hexadecimal: parts[1]),
      parts.count % 3 == 2
    else { return nil }
    var errors: [PieceError] = []
    for at in stride(from: 2, to: parts.count, by: 3) {
      guard let error = UInt64(parts[at], radix: 16),
        let squares = UInt64(parts[at + 1], radix: 16),
        let greatest = UInt32(parts[at + 2], radix: 16)
      else { return nil }
      errors.append(
        PieceError(
          squaredError: Double(bitPattern: error), squares: Double(bitPattern: squares),
          greatestError: Float(bitPattern: greatest)))
    }
    return Entry(unit: unit, checksum: checksum, errors: errors)
  }
}
