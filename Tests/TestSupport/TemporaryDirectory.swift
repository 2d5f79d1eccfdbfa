import Glibc
import Support

/// A directory of its own for one test, removed with everything in it when it goes out of scope.
public final class TemporaryDirectory: Sendable {
  public let path: String

  /// - Parameter inMemory: for files written and read thousands of times; not for O_DIRECT.
  public init(_ label: String = "test", inMemory: Bool = false) throws(Failure) {
    var parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    if inMemory, access("/dev/shm", W_OK) == 0 { parent = "/dev/shm" }
    var template = Array("\(parent)/flashmoe-\(label)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Failure.system(parent, "cannot create a temporary directory", errno)
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  deinit { try? FileSystem.remove(path) }

  public func file(_ name: String) -> String { path + "/" + name }

  /// Writes a file without flushing it to disk and returns its path.
  @discardableResult
  public func write(_ bytes: [UInt8], to name: String) throws(Failure) -> String {
    let target = file(name)
    let output = try File(target, .truncate)
    var failure: Failure?
    bytes.withUnsafeBytes { buffer in
      do throws(Failure) { try output.write(buffer, at: 0) } catch { failure = error }
    }
    if let failure { throw failure }
    return target
  }

  @discardableResult
  public func write(_ text: String, to name: String) throws(Failure) -> String {
    try write(Array(text.utf8), to: name)
  }
}
