/// Belady's optimum: the record whose next use is farthest goes first.  It knows the trace, so it
/// is a bound and not a policy.
public struct Optimum: CachePolicy {
  /// When record `r` is demanded: `uses[starts[r] ..< starts[r + 1]]`, ascending.
  private let uses: [Int32]
  private let starts: [Int]
  private var next: [Int]

  /// - Parameter requests: the records of each request, in order of time.
  public init(recordCount: Int, requests: [[Int32]]) {
    var counts = Array(repeating: 0, count: recordCount + 1)
    for request in requests {
      for record in request { counts[Int(record) + 1] += 1 }
    }
    for record in 0..<recordCount { counts[record + 1] += counts[record] }
    starts = counts
    var uses = Array(repeating: Int32(0), count: counts[recordCount])
    var filled = counts
    for (time, request) in requests.enumerated() {
      for record in request {
        uses[filled[Int(record)]] = Int32(time)
        filled[Int(record)] += 1
      }
    }
    self.uses = uses
    next = Array(counts.dropLast())
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    next[record] += 1
    return worth(record)
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double { worth(record) }

  public func worth(_ record: Int) -> Double {
    next[record] < starts[record + 1] ? -Double(uses[next[record]]) : -.infinity
  }
}
