/// Least recently used in two segments: a record that was demanded again while cached is
/// protected, and goes only when no unprotected one is left.
///
/// The protected segment holds four fifths of the slots.  When it is full, its least recently used
/// record becomes an unprotected one that was just used.
public struct SegmentedLeastRecentlyUsed: CachePolicy {
  /// Added to the worth of the protected: more than any sequence number.
  private static let protection = Double(1 << 52)

  private var lastUse: [Double]
  private var isCached: [Bool]
  private var isProtected: [Bool]
  private var protectedCount = 0
  private let protectedLimit: Int
  // The protected segment as a list, least recently used first; the last index is its head.
  private var next: [Int32]
  private var previous: [Int32]
  public private(set) var displaced = -1

  public init(recordCount: Int, slotCount: Int) {
    lastUse = Array(repeating: -.infinity, count: recordCount)
    isCached = Array(repeating: false, count: recordCount)
    isProtected = Array(repeating: false, count: recordCount)
    protectedLimit = max(1, slotCount * 4 / 5)
    next = Array(repeating: Int32(recordCount), count: recordCount + 1)
    previous = next
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    displaced = -1
    lastUse[record] = Double(time.sequence)
    if isProtected[record] {
      unlink(record)
      append(record)
    } else if isCached[record] {
      isProtected[record] = true
      append(record)
      protectedCount += 1
      if protectedCount > protectedLimit { displace(at: time) }
    }
    isCached[record] = true
    return worth(record)
  }

  private mutating func displace(at time: CacheTime) {
    let oldest = Int(next[next.count - 1])
    leave(oldest)
    // Just before the record that took its place.
    lastUse[oldest] = Double(time.sequence) - 0.5
    displaced = oldest
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    lastUse[record] = popularity - 1
    isCached[record] = true
    return lastUse[record]
  }

  public mutating func evicted(_ record: Int) {
    isCached[record] = false
    if isProtected[record] { leave(record) }
  }

  public func worth(_ record: Int) -> Double {
    lastUse[record] + (isProtected[record] ? Self.protection : 0)
  }

  private mutating func leave(_ record: Int) {
    unlink(record)
    isProtected[record] = false
    protectedCount -= 1
  }

  private mutating func unlink(_ record: Int) {
    next[Int(previous[record])] = next[record]
    previous[Int(next[record])] = previous[record]
  }

  private mutating func append(_ record: Int) {
    let head = next.count - 1
    let last = previous[head]
    next[Int(last)] = Int32(record)
    previous[record] = last
    next[record] = Int32(head)
    previous[head] = Int32(record)
  }
}
