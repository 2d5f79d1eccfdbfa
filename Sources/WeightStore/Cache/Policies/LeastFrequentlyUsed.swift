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
