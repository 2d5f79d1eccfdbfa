import CLinux
import Glibc

/// Whole-file and directory operations with FlashMoE's errors.
public enum FileSystem {
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  public static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// The whole file; `limitBytes` guards against absurd inputs.
  public static func readBytes(_ path: String, limitBytes: Int = 1 << 30) throws(Failure) -> [UInt8]
  {
    let file = try File(path, .read)
    let size = try file.size()
    guard size <= limitBytes else {
      throw Failure(
        .malformed, path,
        "\(ByteCount.format(size)) where at most \(ByteCount.format(limitBytes))"
          + " make sense")
    }
    var failure: Failure?
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
      do throws(Failure) {
        try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
        count = size
      } catch {
        failure = error
        count = 0
      }
    }
    if let failure { throw failure }
    file.dropCache()
    return bytes
  }

  /// Text that must be valid UTF-8.
  public static func readText(_ path: String, limitBytes: Int = 1 << 30) throws(Failure) -> String {
    guard let text = String(validating: try readBytes(path, limitBytes: limitBytes), as: UTF8.self)
    else { throw Failure(.malformed, path, "not UTF-8 text") }
    return text
  }

  public static func readJSON(_ path: String, limitBytes: Int = 1 << 30) throws(Failure)
    -> JSONValue
  {
    try JSONValue.parse(try readBytes(path, limitBytes: limitBytes), subject: path)
  }

  /// Writes a file so that its name shows either the old or the whole new content.
  public static func writeAtomically(_ bytes: [UInt8], to path: String) throws(Failure) {
    let temporary = path + ".tmp-\(getpid())"
    do throws(Failure) {
      let file = try File(temporary, .truncate)
      var failure: Failure?
      bytes.withUnsafeBytes { buffer in
        do throws(Failure) { try file.write(buffer, at: 0) } catch { failure = error }
      }
      if let failure { throw failure }
      try file.synchronize()
      try rename(temporary, to: path)
    } catch {
      unlink(temporary)
      throw error
    }
  }

  /// rename(2) and a flush of the directory that holds the new name.
  public static func rename(_ from: String, to path: String) throws(Failure) {
    guard Glibc.rename(from, path) == 0 else {
      let code = errno
      throw Failure.system(path, "cannot rename \(from) to it", code)
    }
    try synchronizeDirectory(parent(of: path))
  }

  public static func synchronizeDirectory(_ path: String) throws(Failure) {
    let directory = try File(path, .read)
    try directory.synchronize()
  }

  public static func createDirectory(_ path: String) throws(Failure) {
    guard mkdir(path, 0o755) != 0 else { return }
    // Asking whether it is a directory may change errno.
    let code = errno
    if code == EEXIST, isDirectory(path) { return }
    throw Failure.system(path, "cannot create the directory", code)
  }

  /// The names in a directory, sorted.
  public static func list(_ path: String) throws(Failure) -> [String] {
    guard let directory = opendir(path) else {
      throw Failure.system(path, "cannot list the directory", errno)
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Removes a file, or a directory with everything in it; a missing one is fine.
  public static func remove(_ path: String) throws(Failure) {
    var status = stat()
    guard lstat(path, &status) == 0 else {
      let code = errno
      if code == ENOENT || code == ENOTDIR { return }
      throw Failure.system(path, "cannot remove", code)
    }
    if status.st_mode & S_IFMT == S_IFDIR {
      for name in try list(path) { try remove(path + "/" + name) }
      guard rmdir(path) == 0 else { throw Failure.system(path, "cannot remove", errno) }
    } else {
      guard unlink(path) == 0 else { throw Failure.system(path, "cannot remove", errno) }
    }
  }

  /// Bytes an ordinary user can still write to the file system that holds `path`.
  public static func freeBytes(at path: String) throws(Failure) -> Int {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else {
      throw Failure.system(path, "cannot ask for free space", errno)
    }
    return Int(status.f_bavail) * Int(status.f_frsize)
  }

  public static func parent(of path: String) -> String {
    var trimmed = path[...]
    while trimmed.count > 1, trimmed.last == "/" { trimmed = trimmed.dropLast() }
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  public static func name(of path: String) -> String {
    path.split(separator: "/").last.map(String.init) ?? path
  }
}
