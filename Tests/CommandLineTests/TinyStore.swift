import Support
import Testing
import TestSupport

/// A store packed once by the program itself from the tiny checkpoint of the fixtures.
enum TinyStore {
  static let checkpoint = Fixtures.path("oracle/qwen3_moe")

  private struct Packed: Sendable {
    let directory: TemporaryDirectory
    let exact: String
    let small: String
  }

  private static let packed: Result<Packed, Failure> = {
    do throws(Failure) {
      let directory = try TemporaryDirectory("cli")
      let exact = directory.file("exact.fmoe")
      let small = directory.file("small.fmoe")
      try pack([checkpoint, "-o", exact, "--scheme", "none"])
      try pack([checkpoint, "-o", small])
      return .success(Packed(directory: directory, exact: exact, small: small))
    } catch {
      return .failure(error)
    }
  }()

  private static func pack(_ arguments: [String]) throws(Failure) {
    let result: ChildProcess.Result
    do { result = try flashmoe(["pack"] + arguments) } catch {
      throw Failure(.io, "flashmoe pack", "\(error)")
    }
    guard result.code == 0 else { throw Failure(.io, "flashmoe pack", result.messages) }
  }

  /// Packed with --scheme none.
  static func exact() throws -> String { try packed.get().exact }
  /// Packed at 4 bits.
  static func quantized() throws -> String { try packed.get().small }

  /// A copy that a test may damage.
  static func copy(
    _ store: String, into directory: TemporaryDirectory, _ name: String = "copy.fmoe"
  )
    throws -> String
  {
    let target = directory.file(name)
    try FileSystem.createDirectory(target)
    try FileSystem.createDirectory(target + "/experts")
    for file in try FileSystem.list(store)
      + FileSystem.list(store + "/experts").map({ "experts/" + $0 })
    where !FileSystem.isDirectory(store + "/" + file) {
      let bytes = try FileSystem.readBytes(store + "/" + file)
      try directory.write(bytes, to: name + "/" + file)
    }
    return target
  }
}
