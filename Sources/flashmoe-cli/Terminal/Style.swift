import Glibc

/// Colours, on terminals only and never against `NO_COLOR` (no-color.org).
enum Style {
  private static let allowed: Bool = {
    if let value = getenv("NO_COLOR"), value.pointee != 0 { return false }
    if let term = getenv("TERM"), strcmp(term, "dumb") == 0 { return false }
    return true
  }()

  static func error(_ text: String) -> String { wrap(text, "1;31", Output.stderrIsTerminal) }
  static func warning(_ text: String) -> String { wrap(text, "1;33", Output.stderrIsTerminal) }
  static func dimmed(_ text: String) -> String { wrap(text, "2", Output.stderrIsTerminal) }
  /// For headings on stdout.
  static func heading(_ text: String) -> String { wrap(text, "1", Output.stdoutIsTerminal) }

  private static func wrap(_ text: String, _ code: String, _ isTerminal: Bool) -> String {
    isTerminal && allowed ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
