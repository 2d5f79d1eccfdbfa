extension CachePolicyKind {
  /// Memory for what the policy learns beyond a few numbers a record.
  public func tableBytes(layerExperts: [Int], expertsPerToken: Int) -> Int {
    self == .foresight
      ? Foresight.byteCount(layerExperts: layerExperts, expertsPerToken: expertsPerToken) : 0
  }
}

/// The policy chosen at run time, without an existential.
///
/// Only the chosen one has storage.  An enum with payloads would copy that storage on every change.
public struct SelectedPolicy: CachePolicy {
  public let kind: CachePolicyKind
  private var lru: LeastRecentlyUsed
  private var lfu: LeastFrequentlyUsed
  private var lfru: FrequentlyRecentlyUsed
  private var slru: SegmentedLeastRecentlyUsed
  private var stale: LeastStale
  private var foresight: Foresight

  /// - Parameters:
  ///   - layerExperts: experts of each layer.
  ///   - slotCount: what the cache holds.
  public init(
    _ kind: CachePolicyKind, layerExperts: [Int], expertsPerToken: Int, slotCount: Int
  ) {
    self.kind = kind
    let records = layerExperts.reduce(0, +)
    lru = LeastRecentlyUsed(recordCount: kind == .lru ? records : 0)
    lfu = LeastFrequentlyUsed(recordCount: kind == .lfu ? records : 0)
    lfru = FrequentlyRecentlyUsed(recordCount: kind == .lfru ? records : 0)
    slru = SegmentedLeastRecentlyUsed(
      recordCount: kind == .slru ? records : 0, slotCount: slotCount)
    stale = LeastStale(layerExperts: kind == .stale ? layerExperts : [])
    foresight = Foresight(
      layerExperts: kind == .foresight ? layerExperts : [], expertsPerToken: expertsPerToken,
      slotCount: slotCount)
  }

  public var followsRouter: Bool { kind == .stale || kind == .foresight }
  public var displaced: Int { kind == .slru ? slru.displaced : -1 }

  public mutating func began(_ tokens: UnsafeBufferPointer<Int32>) {
    if kind == .foresight { foresight.began(tokens) }
  }

  public mutating func routed(_ view: RouterView) {
    switch kind {
    case .stale: stale.routed(view)
    case .foresight: foresight.routed(view)
    case .lru, .lfu, .lfru, .slru: break
    }
  }

  public mutating func evicted(_ record: Int) {
    if kind == .slru { slru.evicted(record) }
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    switch kind {
    case .lru: lru.demanded(record, at: time)
    case .lfu: lfu.demanded(record, at: time)
    case .lfru: lfru.demanded(record, at: time)
    case .slru: slru.demanded(record, at: time)
    case .stale: stale.demanded(record, at: time)
    case .foresight: foresight.demanded(record, at: time)
    }
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    switch kind {
    case .lru: lru.seeded(record, popularity: popularity)
    case .lfu: lfu.seeded(record, popularity: popularity)
    case .lfru: lfru.seeded(record, popularity: popularity)
    case .slru: slru.seeded(record, popularity: popularity)
    case .stale: stale.seeded(record, popularity: popularity)
    case .foresight: foresight.seeded(record, popularity: popularity)
    }
  }

  public func worth(_ record: Int) -> Double {
    switch kind {
    case .lru: lru.worth(record)
    case .lfu: lfu.worth(record)
    case .lfru: lfru.worth(record)
    case .slru: slru.worth(record)
    case .stale: stale.worth(record)
    case .foresight: foresight.worth(record)
    }
  }
}
