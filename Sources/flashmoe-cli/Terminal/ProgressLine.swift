import Glibc
import Support
import Synchronization

/// How far a long job is, on stderr: one changing line on a terminal, a line every few seconds
/// elsewhere.
final class ProgressLine: Sendable {
  private struct State {
    var last: UInt64
    var isShown = false
  }

  private static let terminalInterval: UInt64 = 100_000_000
  private static let plainInterval: UInt64 = 5_000_000_000

  private let label: String
  private let state: Mutex<State>

  init(_ label: String) {
    self.label = label
    // The first plain line waits too: short jobs say nothing.
    state = Mutex(State(last: Output.stderrIsTerminal ? 0 : Clock.nanoseconds()))
  }

  /// Shows `text` if the last one is long enough ago.
  func show(_ text: @autoclosure () -> String) {
    state.withLock { state in
      let now = Clock.nanoseconds()
      let interval = Output.stderrIsTerminal ? Self.terminalInterval : Self.plainInterval
      guard now - state.last >= interval else { return }
      state.last = now
      if Output.stderrIsTerminal {
        let line = String("\(label): \(text())".prefix(Output.width() - 1))
        Output.write("\r\(line)\u{1B}[K", to: STDERR_FILENO)
        state.isShown = true
      } else {
        Output.message("\(label): \(text())")
      }
    }
  }

  /// Removes the changing line, so that what follows starts clean.
  func finish() {
    state.withLock { state in
      if state.isShown { Output.write("\r\u{1B}[K", to: STDERR_FILENO) }
      state.isShown = false
    }
  }

  deinit { finish() }

  /// `42 s`, `3 min`, `1 h 20 min`.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e7 else { return "?" }
    let whole = Int(seconds.rounded())
    if whole < 100 { return "\(whole) s" }
    let minutes = (whole + 30) / 60
    return minutes < 90 ? "\(minutes) min" : "\(minutes / 60) h \(minutes % 60) min"
  }
}
