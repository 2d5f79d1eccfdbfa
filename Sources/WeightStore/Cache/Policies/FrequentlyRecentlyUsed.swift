import Glibc

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
