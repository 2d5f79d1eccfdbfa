import CLinux
import Glibc

/// A file descriptor with one owner; closed when it goes out of scope.
///
/// Every operation throws `Failure(.io)` with the file's name and the system's reason; `ENOSPC`
/// becomes `.noSpace`, `ENOENT` becomes `.notFound`.
public struct File: ~Copyable, Sendable {
  public let descriptor: Int32
  public let path: String

  public enum Mode: Sendable {
    case read
    /// Reads past the page cache (O_DIRECT): offset, length and address must be aligned.
    case readDirect
    /// Creates the file; fails when it exists.
    case createNew
    /// Creates the file or opens it for reading and writing as it is.
    case update
    /// Creates or empties the file.
    case truncate
  }

  public init(_ path: String, _ mode: Mode) throws(Failure) {
    let flags: Int32 =
      switch mode {
      case .read: O_RDONLY
      case .readDirect: O_RDONLY | fm_o_direct()
      case .createNew: O_RDWR | O_CREAT | O_EXCL
      case .update: O_RDWR | O_CREAT
      case .truncate: O_RDWR | O_CREAT | O_TRUNC
      }
    let descriptor = fm_open(path, flags, 0o644)
    guard descriptor >= 0 else { throw Failure.system(path, "cannot open", errno) }
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  public func size() throws(Failure) -> Int {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw Failure.system(path, "cannot read its size", errno)
    }
    return Int(status.st_size)
  }

  /// Fills the whole buffer from `offset`, or throws; a file that ends early is an error.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(Failure) {
    var done = 0
    while done < buffer.count {
      let got = pread(
        descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset + done))
      if got < 0 {
        // Building the message may change errno.
        let code = errno
        if code == EINTR { continue }
        throw Failure.system(path, "cannot read \(buffer.count) bytes at offset \(offset)", code)
      }
      guard got > 0 else {
        throw Failure(
          .io, path, at: "offset \(offset + done)",
          "the file ends \(buffer.count - done) bytes too early",
          remedy: "It is truncated: copy, download or pack it again")
      }
      done += got
    }
  }

  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(Failure) {
    var done = 0
    while done < buffer.count {
      let put = pwrite(
        descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done, off_t(offset + done))
      if put < 0 {
        let code = errno
        if code == EINTR { continue }
        throw Failure.system(path, "cannot write \(buffer.count) bytes at offset \(offset)", code)
      }
      done += put
    }
  }

  /// Makes everything written so far survive a power cut.
  public func synchronize() throws(Failure) {
    guard fsync(descriptor) == 0 else { throw Failure.system(path, "cannot flush to disk", errno) }
  }

  public func truncate(to bytes: Int) throws(Failure) {
    guard ftruncate(descriptor, off_t(bytes)) == 0 else {
      let code = errno
      throw Failure.system(path, "cannot set its size to \(bytes) bytes", code)
    }
  }

  /// Drops the file's clean pages from the page cache, so that they do not count against a budget.
  public func dropCache() {
    _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
  }
}

extension Failure {
  /// A failed system call in words.
  public static func system(_ path: String, _ action: String, _ code: Int32) -> Failure {
    let reason = String(cString: strerror(code))
    switch code {
    case ENOSPC, EDQUOT:
      return Failure(
        .noSpace, path, "\(action): \(reason)", remedy: "Free some disk space and run it again")
    case ENOENT:
      return Failure(.notFound, path, "\(action): \(reason)", remedy: "Check the path")
    case EACCES, EPERM:
      return Failure(.io, path, "\(action): \(reason)", remedy: "Check the permissions")
    default:
      return Failure(.io, path, "\(action): \(reason)")
    }
  }
}
