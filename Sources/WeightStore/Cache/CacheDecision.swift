/// What a cache decided for a request, as a value: nothing has been read yet.
///
/// `position` is the index into the request's experts.
public struct CacheDecision: Sendable, Equatable {
  public struct Hit: Sendable, Equatable {
    public let position: Int
    public let slot: Int
    /// A speculative read brought it, and this is its first use.
    public let wasSpeculated: Bool
  }

  public struct Miss: Sendable, Equatable {
    public let position: Int
    public let record: Int
    /// Where to read it; nothing else will be put there.
    public let slot: Int
    /// The record that lost its place; nil when the slot was free.
    public let evicted: Int?
  }

  /// Ready in their slots.
  public var hits: [Hit] = []
  /// Being read already, by speculation or for a request that ended early.
  public var adopted: [Hit] = []
  public var misses: [Miss] = []
  /// Experts without a slot for now: decide again after a release or a landing.
  public var deferredCount = 0

  public init() {}

  init(capacity: Int) {
    hits.reserveCapacity(capacity)
    adopted.reserveCapacity(capacity)
    misses.reserveCapacity(capacity)
  }

  mutating func reset() {
    hits.removeAll(keepingCapacity: true)
    adopted.removeAll(keepingCapacity: true)
    misses.removeAll(keepingCapacity: true)
    deferredCount = 0
  }
}

/// In which order a request's experts are delivered.
public enum DeliveryOrder: Sendable {
  /// Hits first, then misses as they land: decode.
  case completion
  /// Strictly as given, with read-ahead, also for more experts than slots: prefill.
  case request
}
