import Glibc
import Support

/// Text from a file or from standard input.
enum TextInput {
  /// More than any context holds.
  private static let limitBytes = 256 << 20

  /// The file's text, a pipe's too; `-` reads standard input to its end.
  static func read(_ path: String) throws(Failure) -> String {
    guard path != "-" else { return try read(STDIN_FILENO, "standard input") }
    guard !FileSystem.isDirectory(path) else {
      throw Failure(.usage, path, "a directory, not a text file", remedy: "Name a file in it")
    }
    let file = try File(path, .read)
    // The descriptor lives as long as the file.
    defer { withExtendedLifetime(file) {} }
    return try read(file.descriptor, path)
  }

  /// Pipes and devices have no size to go by: everything is read until it ends.
  private static func read(_ descriptor: Int32, _ subject: String) throws(Failure) -> String {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let got = Glibc.read(descriptor, &buffer, buffer.count)
      if got < 0 {
        let code = errno
        if code == EINTR { continue }
        throw Failure.system(subject, "cannot read", code)
      }
      if got == 0 { break }
      bytes += buffer[..<got]
      guard bytes.count <= limitBytes else {
        throw Failure(
          .usage, subject, "more than \(ByteCount.format(limitBytes)) of text")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(
        .malformed, subject, "not UTF-8 text",
        remedy: "Convert it to UTF-8, for example with iconv")
    }
    return text
  }
}
