/// Decides when speculation is not worth it: pure arithmetic over sliding windows.
///
/// Speculation can only use time in which the disk is idle.  It is suspended when there was none,
/// or when most of what it read was not used, and tried again later.
struct PrefetchGovernor: Sendable, Equatable {
  /// Totals since the start, at one moment.
  struct Reading: Sendable, Equatable {
    var nanoseconds: UInt64
    /// Time with demand reads outstanding.
    var demandBusyNanoseconds: UInt64
    var issuedBytes: Int
    var usedBytes: Int
  }

  static let windowTokens = 8
  static let busyLimit = 0.9
  static let usefulLimit = 0.35
  static let firstSuspensionTokens = 32
  static let longestSuspensionTokens = 512

  /// A window with fewer speculative bytes says nothing about usefulness.
  let judgedBytes: Int
  private(set) var isSuspended = false
  private(set) var suspensions = 0
  private var windowStart: Reading?
  private var tokensInWindow = 0
  private var suspensionTokens = firstSuspensionTokens
  private var tokensLeft = 0

  init(judgedBytes: Int) {
    self.judgedBytes = judgedBytes
  }

  /// Called at the start of every token.
  mutating func token(_ reading: Reading) {
    if isSuspended {
      tokensLeft -= 1
      guard tokensLeft <= 0 else { return }
      isSuspended = false
      windowStart = nil
    }
    guard let start = windowStart else {
      windowStart = reading
      tokensInWindow = 0
      return
    }
    tokensInWindow += 1
    guard tokensInWindow >= Self.windowTokens else { return }
    let elapsed = reading.nanoseconds - start.nanoseconds
    let busy = reading.demandBusyNanoseconds - start.demandBusyNanoseconds
    let issued = reading.issuedBytes - start.issuedBytes
    let used = reading.usedBytes - start.usedBytes
    let isSaturated = elapsed > 0 && Double(busy) > Self.busyLimit * Double(elapsed)
    let isUseless = issued >= judgedBytes && Double(used) < Self.usefulLimit * Double(issued)
    if isSaturated || isUseless {
      isSuspended = true
      suspensions += 1
      tokensLeft = suspensionTokens
      suspensionTokens = min(2 * suspensionTokens, Self.longestSuspensionTokens)
    } else {
      suspensionTokens = Self.firstSuspensionTokens
      windowStart = reading
      tokensInWindow = 0
    }
  }

  /// What was seen since the last judgement is no evidence.
  mutating func restartWindow() { windowStart = nil }

  mutating func resetCounters() {
    suspensions = 0
    restartWindow()
  }
}
