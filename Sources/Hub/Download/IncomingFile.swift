import Support
import Synchronization

/// A file while it arrives: its bytes at their final places, and a journal of which are there.
///
/// Several connections write at once, each its own piece.  The journal is a hint that survives a
/// killed process; what decides is the checksum of what is read back.
final class IncomingFile: Sendable {
  /// Where the bytes go.
  enum Place: Sendable {
    /// To `NAME.part`, which becomes NAME when the checksum is right.
    case beside(String)
    /// Straight to the file, which others have opened already.
    case inside(String)
  }

  private struct State: ~Copyable {
    var journal: PieceJournal
    var nextPiece = 0
  }

  let name: String
  let size: Int
  let identity: RepositoryFile.Identity?
  /// The name the file will have.
  let path: String
  private let isInside: Bool
  private let file: File
  private let state: Mutex<State>
  private let hasher: FileHasher

  private static func journalPath(_ path: String, isInside: Bool) -> String {
    path + (isInside ? ".journal" : ".part.journal")
  }

  /// Opens what an earlier attempt left, or begins anew.
  init(_ place: Place, name: String, size: Int, identity: RepositoryFile.Identity?, pieceBytes: Int)
    throws(Failure)
  {
    switch place {
    case .beside(let path): (self.path, isInside) = (path, false)
    case .inside(let path): (self.path, isInside) = (path, true)
    }
    self.name = name
    self.size = size
    self.identity = identity
    var journal = try PieceJournal.open(
      Self.journalPath(path, isInside: isInside), size: size, identity: identity,
      pieceBytes: pieceBytes)
    let file = try File(isInside ? path : path + ".part", .update)
    if journal.haveBytes == 0, !isInside { try file.truncate(to: 0) }
    if try file.size() != size {
      // Bytes that a journal of another life speaks of are not there.
      try journal.restart()
      try file.truncate(to: size)
    }
    self.file = file
    state = Mutex(State(journal: journal))
    hasher = FileHasher(identity, size: size)
  }

  var haveBytes: Int { state.withLock { $0.journal.haveBytes } }

  /// Whether an earlier attempt checked all of it (only where bytes go inside).
  var isComplete: Bool { state.withLock { $0.journal.isComplete } }

  /// The next piece that nobody fetches yet and that is not all there.
  func takePiece() -> Int? {
    state.withLock { state in
      while state.nextPiece < state.journal.pieceCount {
        let piece = state.nextPiece
        state.nextPiece += 1
        if state.journal.missing(piece).count > 0 { return piece }
      }
      return nil
    }
  }

  /// The bytes of a piece that are still to come.
  func missing(_ piece: Int) -> Range<Int> { state.withLock { $0.journal.missing(piece) } }

  /// Writes the next bytes of a piece, then their journal line.
  func write(_ bytes: UnsafeRawBufferPointer, piece: Int, at offset: Int) throws(Failure) {
    try file.write(bytes, at: offset)
    try state.withFailing { state throws(Failure) in
      try state.journal.add(piece: piece, upTo: offset + bytes.count)
    }
  }

  /// Hashes what has become contiguous, unless somebody does already.
  func hashReadyBytes() throws(Failure) {
    let ready = state.withLock { $0.journal.leadingBytes }
    try hasher.advance(file, to: ready, waits: false)
  }

  /// Whether the whole file has its checksum; `found` is what it has instead.
  func check() throws(Failure) -> (isRight: Bool, found: String?) {
    guard let identity else { return (true, nil) }
    try hasher.advance(file, to: size, waits: true)
    let found = hasher.result()
    return (found == identity, found?.text)
  }

  /// Flushes the bytes and gives them their name.
  func publish() throws(Failure) {
    try file.synchronize()
    if isInside {
      try state.withFailing { state throws(Failure) in try state.journal.complete() }
      return
    }
    try FileSystem.rename(path + ".part", to: path)
    try FileSystem.remove(Self.journalPath(path, isInside: isInside))
    file.dropCache()
  }

  /// Throws all bytes away, to fetch them again.
  func restart() throws(Failure) {
    try state.withFailing { state throws(Failure) in
      try state.journal.restart()
      state.nextPiece = 0
    }
    hasher.restart()
    try file.truncate(to: 0)
    try file.truncate(to: size)
  }

  /// Forgets a file whose bytes go inside: the journal first, so that nothing is believed later.
  static func forget(inside path: String) throws(Failure) {
    try FileSystem.remove(journalPath(path, isInside: true))
  }

  /// Bytes of the disk that an unfinished file at `path` takes already.
  static func allocatedBytes(_ path: String) -> Int { FileFacts(path + ".part")?.allocated ?? 0 }

  /// Removes what an unfinished download of `path` left.
  static func discard(_ path: String) throws(Failure) {
    try FileSystem.remove(path + ".part")
    try FileSystem.remove(journalPath(path, isInside: false))
  }
}

extension Mutex where Value: ~Copyable {
  /// `withLock` for bodies that throw failures.
  func withFailing<Result: Sendable>(
    _ body: (inout sending Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try withLock { (value) throws(Failure) -> Result in try body(&value) }
  }
}
