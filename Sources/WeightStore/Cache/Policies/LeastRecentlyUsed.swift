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
