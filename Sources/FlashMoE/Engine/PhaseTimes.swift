import Support

/// Where the time of forward passes goes, in nanoseconds as the engine's thread sees it.
public struct PhaseTimes: Sendable {
  public var attention: UInt64 = 0
  public var router: UInt64 = 0
  /// Blocked on the disk.
  public var inputOutputWait: UInt64 = 0
  /// Products of experts (and dense feed-forwards).
  public var experts: UInt64 = 0
  public var head: UInt64 = 0
  /// Everything: the rest is norms, embeddings and bookkeeping.
  public var total: UInt64 = 0

  public init() {}
}

/// Adds the time between two calls to one phase.
struct PhaseClock {
  private var last = Clock.nanoseconds()

  @inline(__always)
  mutating func lap(_ phase: inout UInt64) {
    let now = Clock.nanoseconds()
    phase &+= now &- last
    last = now
  }

  @inline(__always)
  mutating func restart() { last = Clock.nanoseconds() }
}
