/// Who executes reads.
public enum ReadBackendKind: String, Sendable, CaseIterable {
  /// io_uring, or pread threads where it is refused.
  case auto
  case uring
  case pread
}

/// Whether reads go past the page cache.
public enum DirectMode: String, Sendable, CaseIterable {
  /// O_DIRECT, or buffered where the file system refuses it.
  case auto
  case on
  case off
}

/// One read of a part of a record; `piece` comes back with its completion.
struct ReadOperation {
  var piece: Int
  var file: Int
  var slot: Int
  var offset: Int
  var bytes: Int
  var destination: UnsafeMutableRawPointer
}

/// `result` is the number of bytes read or a negated errno.
struct ReadCompletion {
  var piece: Int
  var result: Int
}
