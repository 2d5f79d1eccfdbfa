/// The policies a user can choose by name.
public enum CachePolicyKind: String, Sendable, CaseIterable {
  /// Least recently used.
  case lru
  /// Least frequently used, counted since the start.
  case lfu
  /// Least frequently and recently used: counts that halve every 64 tokens.
  case lfru
  /// Least recently used, where what was used again is kept apart from what was used once.
  case slru
  /// Passed over by its layer's router the longest.
  case stale
  /// Least expected soon, by what routers said.
  case foresight
}

/// When something was demanded.
public struct CacheTime: Sendable {
  /// Grows by one with every demanded record.
  public var sequence: Int
  /// Grows by one with every decoded token or prefill chunk.
  public var token: Int

  public init(sequence: Int, token: Int) {
    self.sequence = sequence
    self.token = token
  }
}

/// What the router of a layer said about one token; pointers are valid during a call.
public struct RouterView {
  public let layer: Int
  /// `CacheTime.token` of the step.
  public let token: Int
  /// Which of the step's tokens this is.
  public let row: Int
  /// `RouterCode`s of all the layer's experts; nil where only the choice is known.
  public let codes: UnsafePointer<UInt8>?
  /// The chosen experts.
  public let chosen: UnsafeBufferPointer<Int32>

  public init(
    layer: Int, token: Int, row: Int = 0, codes: UnsafePointer<UInt8>?,
    chosen: UnsafeBufferPointer<Int32>
  ) {
    self.layer = layer
    self.token = token
    self.row = row
    self.codes = codes
    self.chosen = chosen
  }
}

/// Values records; the cache evicts the least worthy.  A value type, so that a trace can be
/// replayed against it.
///
/// The cache keeps the worth beside the slot.  It asks again for a record in `demanded` and
/// `seeded`, for a whole layer after `routed`, and for `displaced`.
public protocol CachePolicy: Sendable {
  /// Whether `began` and `routed` do anything.
  var followsRouter: Bool { get }
  /// A record whose worth the last `demanded` changed besides its own; -1 for none.
  var displaced: Int { get }
  /// A step begins: a token in decode, several in a chunk; empty when they are not known.
  mutating func began(_ tokens: UnsafeBufferPointer<Int32>)
  /// A router has chosen for one token: may change the worth of all records of its layer.  Called
  /// before the chosen ones are demanded.
  mutating func routed(_ view: RouterView)
  /// The router asked for `record`, whether it was cached or not; returns its worth.
  mutating func demanded(_ record: Int, at time: CacheTime) -> Double
  /// Calibration found `record` this popular (0 … 1); called before anything was demanded.
  mutating func seeded(_ record: Int, popularity: Double) -> Double
  /// `record` lost its slot.
  mutating func evicted(_ record: Int)
  /// Never a NaN, and below infinity.
  func worth(_ record: Int) -> Double
}

extension CachePolicy {
  public var followsRouter: Bool { false }
  public var displaced: Int { -1 }
  public mutating func began(_ tokens: UnsafeBufferPointer<Int32>) {}
  public mutating func routed(_ view: RouterView) {}
  public mutating func evicted(_ record: Int) {}
}
