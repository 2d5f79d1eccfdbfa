import Support

/// Which bytes of each piece are there: a line a piece and step, appended after the bytes.
struct PieceJournal: ~Copyable {
  private static let magic = "flashmoe-part-1"
  private static let completeLine = "complete"

  private let file: File
  private let header: String
  private var end: Int
  private let size: Int
  /// What the journal was begun with; a later wish for other pieces does not cost the bytes.
  private let pieceBytes: Int
  private var have: [Int]
  private(set) var isComplete = false
  private(set) var haveBytes: Int

  var pieceCount: Int { have.count }

  private init(
    file: consuming File, header: String, end: Int, size: Int, pieceBytes: Int, have: [Int],
    isComplete: Bool
  ) {
    self.file = file
    self.header = header
    self.end = end
    self.size = size
    self.pieceBytes = pieceBytes
    self.have = have
    self.isComplete = isComplete
    haveBytes = have.reduce(0, +)
  }

  /// Continues the journal of the same file, or begins one.
  static func open(
    _ path: String, size: Int, identity: RepositoryFile.Identity?, pieceBytes wanted: Int
  ) throws(Failure) -> PieceJournal {
    let suffix = "\(size) \(identity?.text ?? "-")"
    let lines = FileSystem.exists(path) ? try Self.lines(path) : []
    var pieceBytes = max(1, wanted)
    var have = empty(size, pieceBytes)
    var end = 0
    var isComplete = false
    for (at, line) in lines.enumerated() {
      if at == 0 {
        guard let bytes = beginning(line, suffix) else { break }
        pieceBytes = bytes
        have = empty(size, pieceBytes)
      } else if line == completeLine {
        isComplete = true
      } else {
        guard let (piece, bytes) = step(line), have.indices.contains(piece),
          bytes <= min(pieceBytes, size - piece * pieceBytes)
        else { break }
        have[piece] = max(have[piece], bytes)
      }
      end += line.utf8.count + 1
    }
    let file = try File(path, .update)
    try file.truncate(to: end)
    var journal = PieceJournal(
      file: file, header: "\(magic) \(pieceBytes) \(suffix)", end: end, size: size,
      pieceBytes: pieceBytes, have: have, isComplete: isComplete)
    if end == 0 { try journal.append(journal.header) }
    return journal
  }

  /// The piece size of a journal of this file.
  private static func beginning(_ line: String, _ suffix: String) -> Int? {
    let words = line.split(separator: " ", maxSplits: 2)
    guard words.count == 3, words[0] == magic, words[2] == suffix, let bytes = Int(words[1]),
      bytes > 0
    else { return nil }
    return bytes
  }

  private static func step(_ line: String) -> (piece: Int, bytes: Int)? {
    let words = line.split(separator: " ")
    guard words.count == 2, let piece = Int(words[0]), let bytes = Int(words[1]), bytes >= 0 else {
      return nil
    }
    return (piece, bytes)
  }

  private static func empty(_ size: Int, _ pieceBytes: Int) -> [Int] {
    Array(repeating: 0, count: (size + pieceBytes - 1) / pieceBytes)
  }

  /// The bytes of a piece that are not there.
  func missing(_ piece: Int) -> Range<Int> {
    let begin = piece * pieceBytes
    return begin + have[piece]..<min(begin + pieceBytes, size)
  }

  /// Bytes from the file's beginning up to the first hole.
  var leadingBytes: Int {
    for piece in have.indices {
      let missing = missing(piece)
      if !missing.isEmpty { return missing.lowerBound }
    }
    return size
  }

  mutating func add(piece: Int, upTo end: Int) throws(Failure) {
    let bytes = end - piece * pieceBytes
    guard bytes > have[piece] else { return }
    try append("\(piece) \(bytes)")
    haveBytes += bytes - have[piece]
    have[piece] = bytes
  }

  mutating func complete() throws(Failure) {
    try append(Self.completeLine)
    isComplete = true
  }

  /// Nothing is there.
  mutating func restart() throws(Failure) {
    try file.truncate(to: 0)
    end = 0
    have = Self.empty(size, pieceBytes)
    haveBytes = 0
    isComplete = false
    try append(header)
  }

  private mutating func append(_ line: String) throws(Failure) {
    let bytes = Array((line + "\n").utf8)
    var failure: Failure?
    bytes.withUnsafeBytes { buffer in
      do throws(Failure) { try file.write(buffer, at: end) } catch { failure = error }
    }
    if let failure { throw failure }
    end += bytes.count
  }

  /// Complete lines; what follows the last line break was never finished.
  private static func lines(_ path: String) throws(Failure) -> [String] {
    let bytes = try FileSystem.readBytes(path, limitBytes: 1 << 28)
    guard let last = bytes.lastIndex(of: 0x0A) else { return [] }
    return bytes[..<last].split(separator: 0x0A, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
  }
}
