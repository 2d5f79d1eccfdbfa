import Glibc
import Support

/// Text from a file or from standard input.
enum TextInput {
  /// More than any context holds.
  private static let limitBytes = 256 << 20

  /// The file's text; `-` reads standard input to its end.
  static func read(_ path: String) throws(Failure) -> String {
    guard path == "-" else { return try FileSystem.readText(path, limitBytes: limitBytes) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let got = Glibc.read(STDIN_FILENO, &buffer, buffer.count)
      if got < 0 {
        let code = errno
        if code == EINTR { continue }
        throw Failure.system("standard input", "cannot read", code)
      }
      if got == 0 { break }
      bytes += buffer[..<got]
      guard bytes.count <= limitBytes else {
        throw Failure(
          .usage, "standard input", "more than \(ByteCount.format(limitBytes)) of text")
      }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(.malformed, "standard input", "not UTF-8 text")
    }
    return text
  }
}
