/// Worth is what calibration counted, and never changes: what a cache filled once from a profile
/// would do.
public struct StaticPopularity: CachePolicy {
  private let popularity: [Double]

  /// - Parameter popularity: of every record, through all layers.
  public init(_ popularity: [Double]) { self.popularity = popularity }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double { popularity[record] }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    self.popularity[record]
  }

  public func worth(_ record: Int) -> Double { popularity[record] }
}
