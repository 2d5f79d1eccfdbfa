import Glibc
import Support

/// Results go to stdout, everything else to stderr; both without buffering.
enum Output {
  static let stdoutIsTerminal = isatty(STDOUT_FILENO) == 1
  static let stderrIsTerminal = isatty(STDERR_FILENO) == 1

  /// Text to stdout as it is.
  static func write(_ text: String) { write(text, to: STDOUT_FILENO) }

  static func print(_ text: String) { write(text + "\n") }

  /// A table, on a terminal cut to its width: wrapped rows are hard to read.
  static func print(_ table: Table) {
    print(table.text(width: stdoutIsTerminal ? width(STDOUT_FILENO) : nil))
  }

  /// The one document of `--json`.
  static func print(_ document: JSONObject) {
    write(JSONValue.object(document).serialized(pretty: true) + "\n")
  }

  /// A line to stderr: progress, warnings, statistics beside a text.
  static func message(_ text: String) { write(text + "\n", to: STDERR_FILENO) }

  static func write(_ text: String, to descriptor: Int32) {
    var copy = text
    copy.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let put = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        if put > 0 {
          done += put
        } else if put < 0, errno == EINTR || errno == EAGAIN {
          // A terminal left in non-blocking mode by another program: wait until it takes more.
          var poller = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&poller, 1, 1000)
        } else {
          // A full disk must not look like success; the message itself has nowhere else to go.
          guard descriptor == STDOUT_FILENO else { return }
          let reason = String(cString: strerror(errno))
          write("error: standard output: cannot write: \(reason)\n", to: STDERR_FILENO)
          exit(ErrorReport.failureCode)
        }
      }
    }
  }

  /// Columns of the terminal behind `descriptor`, or 80.
  static func width(_ descriptor: Int32 = STDERR_FILENO) -> Int {
    var size = winsize()
    guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 80 }
    return Int(size.ws_col)
  }
}

extension JSONValue {
  static func optional(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }
  static func optional(_ number: Int?) -> JSONValue { number.map { .integer($0) } ?? .null }
  static func optional(_ number: Double?) -> JSONValue { number.map { .number($0) } ?? .null }
  static func ids(_ ids: [Int32]) -> JSONValue { .array(ids.map { .integer(Int($0)) }) }
}
