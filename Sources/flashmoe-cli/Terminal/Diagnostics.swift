import Logging
import Support
import Synchronization

/// The engine's log on stderr: warnings once each, notes with --verbose.
enum Diagnostics {
  static func logger(verbose: Bool) -> Logger {
    var logger = Logger(label: "flashmoe") { _ in Handler() }
    logger.logLevel = verbose ? .info : .notice
    return logger
  }

  /// A warning of the command line's own.
  static func warn(_ text: String) {
    Output.message(Style.warning("warning:") + " " + text)
  }

  private static let told = Mutex<Set<String>>([])

  private struct Handler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      let text = event.message.description
      guard told.withLock({ $0.insert(text).inserted }) else { return }
      if event.level >= .warning {
        Diagnostics.warn(text)
      } else {
        Output.message(Style.dimmed("note:") + " " + text)
      }
    }
  }
}
