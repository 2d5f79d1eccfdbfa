import Glibc
import Support
import Synchronization

/// The directory files are pulled to: its lock, and the record of what came from where.
final class PullDirectory: Sendable {
  private struct Entry: Equatable {
    var size: Int
    var identity: String
    var modifiedNanoseconds: Int
  }

  static let recordName = ".flashmoe-pull.json"

  let path: String
  private let lock: File
  private let snapshot: Snapshot
  private let entries: Mutex<[String: Entry]>

  /// Creates the directory and those above it, and locks it.
  init(_ path: String, _ snapshot: Snapshot) throws(Failure) {
    try FileSystem.createDirectories(path)
    let directory = try File(path, .read)
    while flock(directory.descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      if code == EINTR { continue }
      guard code == EWOULDBLOCK else {
        throw Failure.system(path, "cannot lock the directory", code)
      }
      throw Failure(
        .io, path, "another process is pulling to it",
        remedy: "Wait for it, stop it, or give another --output")
    }
    lock = directory
    self.path = path
    self.snapshot = snapshot
    entries = Mutex(Self.read(path + "/" + Self.recordName))
  }

  func file(_ name: String) -> String { path + "/" + name }

  /// Whether a file is there with the bytes that are wanted.
  ///
  /// A file whose size and time are as we left them is believed; another is hashed.
  func holds(_ file: RepositoryFile) throws(Failure) -> Bool {
    let path = self.file(file.path)
    guard let facts = FileFacts(path), facts.size == file.size else { return false }
    guard let identity = file.identity else { return true }
    let expected = Entry(
      size: facts.size, identity: identity.text, modifiedNanoseconds: facts.modifiedNanoseconds)
    if entries.withLock({ $0[file.path] }) == expected { return true }
    guard try FileHasher.matches(path, size: facts.size, identity: identity) else { return false }
    try record(file)
    return true
  }

  /// Notes that a file is there and right.
  func record(_ file: RepositoryFile) throws(Failure) {
    guard let facts = FileFacts(self.file(file.path)), let identity = file.identity else { return }
    try entries.withFailing { entries throws(Failure) in
      entries[file.path] = Entry(
        size: facts.size, identity: identity.text, modifiedNanoseconds: facts.modifiedNanoseconds)
      try self.write(entries)
    }
  }

  private func write(_ entries: [String: Entry]) throws(Failure) {
    var files = JSONObject()
    for path in entries.keys.sorted() {
      guard let entry = entries[path] else { continue }
      files[path] = .object([
        "size": .integer(entry.size), "identity": .string(entry.identity),
        "modified": .integer(entry.modifiedNanoseconds),
      ])
    }
    let record: JSONObject = [
      "repository": .string(snapshot.repository), "revision": .string(snapshot.revision),
      "commit": .string(snapshot.commit), "files": .object(files),
    ]
    try FileSystem.writeAtomically(
      Array((JSONValue.object(record).serialized(pretty: true) + "\n").utf8),
      to: path + "/" + Self.recordName)
  }

  /// A record that cannot be read only costs time.
  private static func read(_ path: String) -> [String: Entry] {
    guard FileSystem.exists(path),
      let json = try? FileSystem.readJSON(path, limitBytes: 1 << 26)
    else { return [:] }
    var entries: [String: Entry] = [:]
    for (name, value) in json["files"]?.object?.members ?? [] {
      guard let size = value["size"]?.integer, let identity = value["identity"]?.string,
        let modified = value["modified"]?.integer
      else { continue }
      entries[name] = Entry(size: size, identity: identity, modifiedNanoseconds: modified)
    }
    return entries
  }
}

extension FileSystem {
  /// mkdir -p.
  static func createDirectories(_ path: String) throws(Failure) {
    if isDirectory(path) { return }
    let parent = parent(of: path)
    if parent != path, parent != "." { try createDirectories(parent) }
    try createDirectory(path)
  }
}
