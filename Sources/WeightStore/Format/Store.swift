import Glibc
import Support

/// An opened store: its manifest, checked against the files that are really there.
public struct Store: Sendable {
  public let path: String
  public let manifest: Manifest

  /// Opens `NAME.fmoe`, reads its manifest and checks that every file has its size.
  ///
  /// Contents are not read here: residents and records are checked when they are first loaded,
  /// and `Verification` checks everything.
  ///
  /// - Throws: `Failure` naming the file and the remedy.
  public init(opening path: String) throws(Failure) {
    let manifestPath = try Self.manifestPath(of: path)
    self.path = path
    manifest = try Manifest(
      parsing: try FileSystem.readBytes(manifestPath, limitBytes: 1 << 28), subject: manifestPath)
    try checkSize(Manifest.residentFileName, manifest.residentBytes)
    for (file, bytes) in manifest.recordFiles { try checkSize(file, bytes) }
    for companion in manifest.companions { try checkSize(companion.name, companion.bytes) }
  }

  /// Where a store's manifest is.
  ///
  /// - Throws: `Failure` when `path` is no directory, closed to this user, or not a store.
  static func manifestPath(of path: String) throws(Failure) -> String {
    guard FileSystem.isDirectory(path) else {
      throw Failure(
        .notFound, path.isEmpty ? "store \"\"" : path,
        FileSystem.exists(path) ? "not a store directory" : "no such store",
        remedy: "Make one with 'flashmoe pack CHECKPOINT -o NAME.fmoe'")
    }
    // A directory that may not be entered looks empty.
    guard access(path, X_OK) == 0 else {
      throw Failure.system(path, "cannot enter the directory", errno)
    }
    let manifestPath = path + "/" + Manifest.fileName
    guard FileSystem.exists(manifestPath) else {
      throw Failure(
        .notFound, path, "it holds no \(Manifest.fileName), so it is not a store",
        remedy: FileSystem.exists(path + "/config.json")
          ? "This looks like a checkpoint: run 'flashmoe pack \(path) -o NAME.fmoe'"
          : "Make one with 'flashmoe pack CHECKPOINT -o NAME.fmoe'")
    }
    return manifestPath
  }

  public func filePath(_ name: String) -> String { path + "/" + name }

  private func checkSize(_ name: String, _ expected: Int) throws(Failure) {
    let file = try File(filePath(name), .read)
    let actual = try file.size()
    guard actual == expected else {
      throw Failure(
        .corrupt, filePath(name),
        "\(actual) bytes where the manifest says \(expected)",
        remedy: "It is truncated or replaced: copy or pack the store again")
    }
  }

  /// A companion's bytes, checked against the manifest; nil when the store has none of that name.
  public func companion(_ name: String) throws(Failure) -> [UInt8]? {
    guard let entry = manifest.companions.first(where: { $0.name == name }) else { return nil }
    let bytes = try FileSystem.readBytes(filePath(name), limitBytes: 1 << 32)
    guard Checksum(of: bytes) == entry.checksum else {
      throw Failure(
        .corrupt, filePath(name), "checksum mismatch", remedy: "Restore it or pack again")
    }
    return bytes
  }
}
