import Support
import Synchronization

/// How far a download is.
public struct PullProgress: Sendable {
  /// Bytes that are there, of all there will be.
  public var bytes: Int
  public var totalBytes: Int
  /// Bytes that were there before this run.
  public var resumedBytes: Int
  public var seconds: Double

  /// Bytes a second in this run.
  public var bytesPerSecond: Double {
    seconds > 0 ? max(0, Double(bytes - resumedBytes)) / seconds : 0
  }

  /// Nil until there is a rate to judge by.
  public var secondsLeft: Double? {
    let rate = bytesPerSecond
    return rate > 0 ? Double(totalBytes - bytes) / rate : nil
  }
}

/// Counts bytes of all connections and tells them a few times a second.
final class PullMeter: Sendable {
  private struct State {
    var bytes: Int
    var resumed: Int
    var lastReport: UInt64 = 0
  }

  private static let reportNanoseconds: UInt64 = 100_000_000

  private let total: Int
  private let start = Clock.nanoseconds()
  private let report: @Sendable (PullProgress) -> Void
  private let state: Mutex<State>

  init(total: Int, _ report: @escaping @Sendable (PullProgress) -> Void) {
    self.total = total
    self.report = report
    state = Mutex(State(bytes: 0, resumed: 0))
  }

  var progress: PullProgress { state.withLock { progress($0) } }

  /// Bytes an earlier run brought.
  func resume(_ bytes: Int) {
    state.withLock { state in
      state.bytes += bytes
      state.resumed += bytes
    }
  }

  /// Bytes that came; negative when some were thrown away.
  func add(_ bytes: Int) {
    state.withLock { state in
      state.bytes += bytes
      let now = Clock.nanoseconds()
      guard now - state.lastReport >= Self.reportNanoseconds else { return }
      state.lastReport = now
      report(progress(state))
    }
  }

  private func progress(_ state: State) -> PullProgress {
    PullProgress(
      bytes: state.bytes, totalBytes: total, resumedBytes: state.resumed,
      seconds: Clock.seconds(since: start))
  }
}
