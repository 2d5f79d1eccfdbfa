import Crypto
import Glibc
import Support
import Synchronization

/// The checksum of a file that arrives out of order, computed from its beginning as far as it is there.
final class FileHasher: Sendable {
  private enum Running {
    case sha256(SHA256)
    case gitBlob(Insecure.SHA1)
    case none

    init(_ identity: RepositoryFile.Identity?, size: Int) {
      switch identity {
      case .sha256: self = .sha256(SHA256())
      case .gitBlob:
        var hash = Insecure.SHA1()
        hash.update(data: Array("blob \(size)\0".utf8))
        self = .gitBlob(hash)
      case nil: self = .none
      }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
      switch self {
      case .sha256(var hash):
        hash.update(bufferPointer: bytes)
        self = .sha256(hash)
      case .gitBlob(var hash):
        hash.update(bufferPointer: bytes)
        self = .gitBlob(hash)
      case .none: break
      }
    }

    var result: RepositoryFile.Identity? {
      switch self {
      case .sha256(let hash): .sha256(FileHasher.hexadecimal(hash.finalize()))
      case .gitBlob(let hash): .gitBlob(FileHasher.hexadecimal(hash.finalize()))
      case .none: nil
      }
    }
  }

  private struct State {
    var running: Running
    var hashed = 0
  }

  private static let blockBytes = 1 << 20

  private let identity: RepositoryFile.Identity?
  private let size: Int
  private let state: Mutex<State>

  init(_ identity: RepositoryFile.Identity?, size: Int) {
    self.identity = identity
    self.size = size
    state = Mutex(State(running: Running(identity, size: size)))
  }

  /// Hashes up to `end`.
  ///
  /// - Parameter waits: for a thread that is hashing already; otherwise it is left to that one.
  func advance(_ file: borrowing File, to end: Int, waits: Bool) throws(Failure) {
    guard identity != nil else { return }
    var failure: Failure?
    func work(_ state: inout State) {
      do throws(Failure) { try Self.hash(file, to: end, &state) } catch { failure = error }
    }
    if waits { state.withLock { work(&$0) } } else { _ = state.withLockIfAvailable { work(&$0) } }
    if let failure { throw failure }
  }

  private static func hash(_ file: borrowing File, to end: Int, _ state: inout State)
    throws(Failure)
  {
    guard state.hashed < end else { return }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 64)
    defer { buffer.deallocate() }
    while state.hashed < end {
      let block = UnsafeMutableRawBufferPointer(
        rebasing: buffer[..<min(blockBytes, end - state.hashed)])
      try file.read(into: block, at: state.hashed)
      state.running.update(UnsafeRawBufferPointer(block))
      state.hashed += block.count
    }
  }

  func result() -> RepositoryFile.Identity? { state.withLock { $0.running.result } }

  func restart() {
    state.withLock { $0 = State(running: Running(identity, size: size)) }
  }

  /// Whether the file at `path` has these bytes; reads it all.
  static func matches(_ path: String, size: Int, identity: RepositoryFile.Identity)
    throws(Failure) -> Bool
  {
    let file = try File(path, .read)
    guard try file.size() == size else { return false }
    let hasher = FileHasher(identity, size: size)
    try hasher.advance(file, to: size, waits: true)
    file.dropCache()
    return hasher.result() == identity
  }

  private static func hexadecimal(_ digest: some Digest) -> String {
    var text = ""
    for byte in digest { text += (byte < 16 ? "0" : "") + String(byte, radix: 16) }
    return text
  }
}

/// What the file system says about a file.
struct FileFacts {
  let size: Int
  /// Bytes of the disk it takes: less than its size while it is sparse.
  let allocated: Int
  let modifiedNanoseconds: Int

  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    size = Int(status.st_size)
    allocated = Int(status.st_blocks) * 512
    modifiedNanoseconds = Int(status.st_mtim.tv_sec) * 1_000_000_000 + Int(status.st_mtim.tv_nsec)
  }
}
