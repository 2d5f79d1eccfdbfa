import Glibc

/// The policies a user can choose by name.
public enum CachePolicyKind: String, Sendable, CaseIterable {
  /// Least recently used.
  case lru
  /// Least frequently used, counted since the start.
  case lfu
  /// Least frequently and recently used: counts that halve every 64 tokens.
  case lfru
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

/// Values records; the cache evicts the least worthy.  A value type, so that a trace can be
/// replayed against it.
///
/// The worth of a record may change only in `demanded` and `seeded`, which return the new one:
/// that lets the cache keep it beside the slot.
public protocol CachePolicy: Sendable {
  /// The router asked for `record`, whether it was cached or not.
  mutating func demanded(_ record: Int, at time: CacheTime) -> Double
  /// Calibration found `record` this popular (0 … 1); called before anything was demanded.
  mutating func seeded(_ record: Int, popularity: Double) -> Double
  func worth(_ record: Int) -> Double
}

/// Worth is the time of the last demand.
public struct LeastRecentlyUsed: CachePolicy {
  private var lastUse: [Double]

  public init(recordCount: Int) {
    lastUse = Array(repeating: -.infinity, count: recordCount)
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    lastUse[record] = Double(time.sequence)
    return lastUse[record]
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    lastUse[record] = popularity - 1
    return lastUse[record]
  }

  public func worth(_ record: Int) -> Double { lastUse[record] }
}

/// Worth is the number of demands.
public struct LeastFrequentlyUsed: CachePolicy {
  private var count: [Double]

  public init(recordCount: Int) {
    count = Array(repeating: 0, count: recordCount)
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    count[record] += 1
    return count[record]
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    count[record] = popularity
    return popularity
  }

  public func worth(_ record: Int) -> Double { count[record] }
}

/// Worth is the number of demands, each halved every `halfLifeTokens`.
///
/// Forward decay (Cormode and others, 2009): instead of shrinking old counts, a demand at token t
/// adds 2^(t / halfLife).  The order of two records is the same at every later time, so a worth
/// changes only on demand.  Its logarithm is kept, which cannot overflow.
public struct FrequentlyRecentlyUsed: CachePolicy {
  private var logarithm: [Double]
  private let halfLifeTokens: Double

  public init(recordCount: Int, halfLifeTokens: Double = 64) {
    logarithm = Array(repeating: -.infinity, count: recordCount)
    self.halfLifeTokens = halfLifeTokens
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    let added = Double(time.token) / halfLifeTokens
    let old = logarithm[record]
    let high = max(old, added)
    let low = min(old, added)
    logarithm[record] = low == -.infinity ? high : high + log2(1 + exp2(low - high))
    return logarithm[record]
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    logarithm[record] = log2(max(popularity, 1e-6))
    return logarithm[record]
  }

  public func worth(_ record: Int) -> Double { logarithm[record] }
}

/// The policy chosen at run time, without an existential.
///
/// Only the chosen one has storage.  An enum with payloads would copy that storage on every change.
public struct SelectedPolicy: CachePolicy {
  public let kind: CachePolicyKind
  private var lru: LeastRecentlyUsed
  private var lfu: LeastFrequentlyUsed
  private var lfru: FrequentlyRecentlyUsed

  public init(_ kind: CachePolicyKind, recordCount: Int) {
    self.kind = kind
    lru = LeastRecentlyUsed(recordCount: kind == .lru ? recordCount : 0)
    lfu = LeastFrequentlyUsed(recordCount: kind == .lfu ? recordCount : 0)
    lfru = FrequentlyRecentlyUsed(recordCount: kind == .lfru ? recordCount : 0)
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    switch kind {
    case .lru: lru.demanded(record, at: time)
    case .lfu: lfu.demanded(record, at: time)
    case .lfru: lfru.demanded(record, at: time)
    }
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    switch kind {
    case .lru: lru.seeded(record, popularity: popularity)
    case .lfu: lfu.seeded(record, popularity: popularity)
    case .lfru: lfru.seeded(record, popularity: popularity)
    }
  }

  public func worth(_ record: Int) -> Double {
    switch kind {
    case .lru: lru.worth(record)
    case .lfu: lfu.worth(record)
    case .lfru: lfru.worth(record)
    }
  }
}
