import CXXHash
import Support
import Synchronization

/// The shared state of one verification, and what each worker does.
final class VerificationScan: Sendable {
  private struct State {
    var problems: [(item: Int, failure: Failure)] = []
    /// Files whose absence or size was reported already.
    var reportedFiles: Set<String> = []
    var bytes = 0
    var isCancelled = false
    var lastReport: UInt64 = 0
  }

  private static let chunkBytes = 4 << 20

  private let path: String
  private let items: [VerificationItem]
  private let isCancelled: @Sendable () -> Bool
  private let start: UInt64
  private let progress: @Sendable (Verification.Progress) -> Void
  private let totalBytes: Int
  private let next = Atomic<Int>(0)
  private let state = Mutex(State())

  init(
    path: String, items: [VerificationItem], isCancelled: @escaping @Sendable () -> Bool,
    start: UInt64, progress: @escaping @Sendable (Verification.Progress) -> Void
  ) {
    self.path = path
    self.items = items
    self.isCancelled = isCancelled
    self.start = start
    self.progress = progress
    totalBytes = items.reduce(0) { $0 + $1.bytes + $1.zeros }
  }

  func outcome() throws(Failure) -> (problems: [Failure], bytes: Int) {
    let (problems, bytes, cancelled) = state.withLock {
      ($0.problems.sorted { $0.item < $1.item }.map(\.failure), $0.bytes, $0.isCancelled)
    }
    if cancelled { throw Failure(.cancelled, path, "verification was interrupted") }
    return (problems, bytes)
  }

  /// A worker's whole life.
  func work() {
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Self.chunkBytes, alignment: RecordLayout.alignment)
    defer { buffer.deallocate() }
    guard let hash = XXH3_createState() else {
      note(0, Failure(.io, path, "out of memory"))
      return
    }
    defer { XXH3_freeState(hash) }
    while true {
      let at = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard at < items.count else { return }
      if isCancelled() {
        state.withLock { $0.isCancelled = true }
        return
      }
      do throws(Failure) { try check(at, buffer, hash) } catch { note(at, error) }
    }
  }

  private func note(_ item: Int, _ failure: Failure) {
    state.withLock { $0.problems.append((item, failure)) }
  }

  private func check(_ at: Int, _ buffer: UnsafeMutableRawBufferPointer, _ hash: OpaquePointer)
    throws(Failure)
  {
    let item = items[at]
    let name = path + "/" + item.file
    let size: Int
    do throws(Failure) {
      size = try File(name, .read).size()
    } catch {
      // A file that cannot be opened is one problem, not one for each of its items.
      if state.withLock({ $0.reportedFiles.insert(item.file).inserted }) { throw error }
      return
    }
    if size != item.fileBytes, state.withLock({ $0.reportedFiles.insert(item.file).inserted }) {
      note(
        at,
        Failure(
          .corrupt, name, "\(size) bytes where the manifest says \(item.fileBytes)",
          remedy: Self.remedy))
    }
    guard item.offset + item.bytes + item.zeros <= size else {
      guard item.place != nil else { return }
      throw Failure(
        .corrupt, name, at: item.place, "the file ends before it does", remedy: Self.remedy)
    }
    try compare(item, name, buffer, hash, fileBytes: size)
  }

  private static let remedy = "Restore the file from a copy or pack again"

  private func compare(
    _ item: VerificationItem, _ name: String, _ buffer: UnsafeMutableRawBufferPointer,
    _ hash: OpaquePointer, fileBytes: Int
  ) throws(Failure) {
    var reader = try VerificationReader(name, fileBytes: fileBytes)
    XXH3_64bits_reset(hash)
    let end = item.offset + item.bytes
    let last = end + item.zeros
    var position = item.offset
    var firstNonZero: Int?
    while position < last {
      let bytes = try reader.bytes(from: position, upTo: last, buffer)
      let hashed = max(0, min(end - position, bytes.count))
      XXH3_64bits_update(hash, bytes.baseAddress, hashed)
      if firstNonZero == nil {
        firstNonZero = (hashed..<bytes.count).first { bytes[$0] != 0 }.map { position + $0 }
      }
      position += bytes.count
      report(bytes.count)
    }
    if let checksum = item.checksum, Checksum(value: XXH3_64bits_digest(hash)) != checksum {
      throw Failure(
        .corrupt, name, at: item.place, "checksum mismatch", remedy: Self.remedy)
    }
    if let firstNonZero {
      throw Failure(
        .corrupt, name, at: item.place,
        "the padding after it is not zero (offset \(firstNonZero))", remedy: Self.remedy)
    }
  }

  private func report(_ bytes: Int) {
    state.withLock { state in
      state.bytes += bytes
      let now = Clock.nanoseconds()
      guard state.bytes == totalBytes || now - state.lastReport >= 100_000_000 else { return }
      state.lastReport = now
      progress(
        Verification.Progress(
          bytes: state.bytes, totalBytes: totalBytes, seconds: Clock.seconds(since: start)))
    }
  }
}

/// Reads stretches of one file past the page cache, or drops what it read from it.
struct VerificationReader: ~Copyable {
  private let file: File
  private let isDirect: Bool

  init(_ path: String, fileBytes: Int) throws(Failure) {
    // Direct reads must be whole pages; only our own files are padded to them.
    if fileBytes % RecordLayout.alignment == 0, let direct = Self.direct(path) {
      file = direct
      isDirect = true
    } else {
      file = try File(path, .read)
      isDirect = false
    }
  }

  deinit { if !isDirect { file.dropCache() } }

  private static func direct(_ path: String) -> File? {
    try? File(path, .readDirect)
  }

  /// At least one byte from `position` on, at most up to `limit`, in `buffer`.
  mutating func bytes(
    from position: Int, upTo limit: Int, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) -> UnsafeRawBufferPointer {
    let begin = isDirect ? position / RecordLayout.alignment * RecordLayout.alignment : position
    let wanted = min(buffer.count, limit - begin)
    let count = isDirect ? min(buffer.count, alignUp(wanted, to: RecordLayout.alignment)) : wanted
    try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count]), at: begin)
    return UnsafeRawBufferPointer(
      rebasing: buffer[position - begin..<min(count, limit - begin)])
  }
}
