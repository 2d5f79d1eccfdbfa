import Glibc
import Support

/// `OUT.fmoe.partial/`: where a store is built until it is complete.
///
/// It holds `store/`, which becomes `OUT.fmoe` by one rename, and `journal`.  A lock on the
/// directory keeps a second packer away and goes when the process does, however it ends.
struct PackWorkspace: ~Copyable {
  let output: String
  let partial: String
  let store: String
  var journalPath: String { Self.journalPath(partial) }
  private let lock: File

  private init(output: String, lock: consuming File) {
    self.output = output
    partial = output + ".partial"
    store = partial + "/store"
    self.lock = lock
  }

  /// Creates or reopens the directory beside `output` and locks it.
  static func open(for output: String, overwrites: Bool) throws(Failure) -> PackWorkspace {
    var trimmed = output
    while trimmed.utf8.count > 1, trimmed.hasSuffix("/") { trimmed.removeLast() }
    guard !trimmed.isEmpty, trimmed != "/", trimmed != ".", trimmed != ".." else {
      throw Failure(
        .usage, "output", "\"\(output)\" cannot be a store's name", remedy: "Name it NAME.fmoe")
    }
    let parent = FileSystem.parent(of: trimmed)
    guard FileSystem.isDirectory(parent) else {
      throw Failure(.notFound, parent, "there is no such directory", remedy: "Create it first")
    }
    try checkOutput(trimmed, overwrites: overwrites)
    return PackWorkspace(
      output: trimmed, lock: try lockDirectory(trimmed + ".partial", output: trimmed))
  }

  static func journalPath(_ partial: String) -> String { partial + "/journal" }

  private static func checkOutput(_ output: String, overwrites: Bool) throws(Failure) {
    guard FileSystem.exists(output) else { return }
    guard overwrites else {
      throw Failure(
        .usage, output, "exists already",
        remedy: "Give another name, or --overwrite to replace it")
    }
    // Only a store is ever replaced: a mistyped path must not cost somebody's directory.
    guard FileSystem.exists(output + "/" + Manifest.fileName) else {
      throw Failure(
        .usage, output, "exists and is not a store, so it is not overwritten",
        remedy: "Give another name or delete it")
    }
  }

  private static func lockDirectory(_ path: String, output: String) throws(Failure) -> File {
    // A packer that finishes removes the directory: a lock on what it removed is no lock.
    for _ in 0..<100 {
      try FileSystem.createDirectory(path)
      let directory: File
      do throws(Failure) { directory = try File(path, .read) } catch {
        if error.kind == .notFound { continue }
        throw error
      }
      guard flock(directory.descriptor, LOCK_EX | LOCK_NB) == 0 else {
        if errno == EINTR { continue }
        guard errno == EWOULDBLOCK else {
          throw Failure.system(path, "cannot lock the directory", errno)
        }
        throw Failure(
          .io, path, "another process is packing to \(output)",
          remedy: "Wait for it, stop it, or give another name")
      }
      var ours = stat()
      var named = stat()
      if fstat(directory.descriptor, &ours) == 0, stat(path, &named) == 0,
        ours.st_ino == named.st_ino, ours.st_dev == named.st_dev
      {
        return directory
      }
    }
    throw Failure(.io, path, "cannot be created: something keeps removing it")
  }

  /// Opens the journal of an unfinished pack of the same plan, or begins a new one.
  func journal(fingerprint: Checksum, name: String, unitCount: Int, discards: Bool)
    throws(Failure) -> PackJournal
  {
    // Without `store` nothing is unfinished: a packer was killed before its first unit, or after
    // its store had got its name.
    if FileSystem.exists(store), !discards,
      case .plan(let found, let foundName) = try PackJournal.content(at: journalPath)
    {
      guard found == fingerprint else {
        throw Failure(
          .mismatch, partial,
          "holds an unfinished pack of \"\(foundName)\" with another source, scheme or version",
          remedy: "Delete this directory, or give --restart to throw it away")
      }
      return try PackJournal.resume(journalPath, unitCount: unitCount)
    }
    // Without a readable journal nothing in here can be trusted.
    for entry in try FileSystem.list(partial) { try FileSystem.remove(partial + "/" + entry) }
    return try PackJournal.create(journalPath, fingerprint: fingerprint, name: name)
  }

  /// Creates directories and files at their final sizes, without holes being filled.
  func prepare(_ files: [(path: String, bytes: Int)]) throws(Failure) {
    try FileSystem.createDirectory(store)
    try FileSystem.createDirectory(store + "/experts")
    for file in files {
      let opened = try File(store + "/" + file.path, .update)
      if try opened.size() != file.bytes { try opened.truncate(to: file.bytes) }
    }
  }

  /// Bytes of the disk that the unfinished store's files already take.
  func allocatedBytes(_ files: [(path: String, bytes: Int)]) -> Int {
    files.reduce(0) { sum, file in
      var status = stat()
      guard stat(store + "/" + file.path, &status) == 0 else { return sum }
      return sum + min(Int(status.st_blocks) * 512, file.bytes)
    }
  }

  /// Flushes everything and gives the store its name.
  ///
  /// A store that is overwritten is moved aside first and deleted last: at no moment does the
  /// name show a mixture.
  func publish(_ files: [(path: String, bytes: Int)], overwrites: Bool) throws(Failure) {
    for file in files {
      let opened = try File(store + "/" + file.path, .update)
      try opened.synchronize()
      opened.dropCache()
    }
    try FileSystem.synchronizeDirectory(store + "/experts")
    try FileSystem.synchronizeDirectory(store)
    try Self.checkOutput(output, overwrites: overwrites)
    let replaced = partial + "/replaced"
    if FileSystem.exists(output) {
      try FileSystem.remove(replaced)
      try FileSystem.rename(output, to: replaced)
    }
    try FileSystem.rename(store, to: output)
    try FileSystem.remove(partial)
    try FileSystem.synchronizeDirectory(FileSystem.parent(of: output))
  }

  /// Leaves nothing behind where nothing was done.
  func abandon() { try? FileSystem.remove(partial) }

  /// Removes entries of the unfinished store that the plan does not have.
  func removeStrangers(_ known: Set<String>) throws(Failure) {
    for name in try FileSystem.list(store) where name != "experts" && !known.contains(name) {
      try FileSystem.remove(store + "/" + name)
    }
    for name in try FileSystem.list(store + "/experts") where !known.contains("experts/" + name) {
      try FileSystem.remove(store + "/experts/" + name)
    }
  }
}
