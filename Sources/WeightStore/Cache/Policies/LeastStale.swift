/// A record grows stale each time its layer's router passes it over; the stalest goes first, of
/// equally stale ones that of the layer whose next turn is farthest.
///
/// Plain recency counts all layers' demands; this counts the record's own chances.
public struct LeastStale: CachePolicy {
  /// Staleness in units above any turn number.
  private static let unit = Double(1 << 36)
  private static let limit = Double(1 << 15)

  private let base: [Int]
  private var staleness: [Double]
  /// Number of the layer's last turn, counted over all layers.
  private var turnOfLayer: [Double]
  private var layerOfRecord: [Int32]
  private var turn = 0.0

  public init(layerExperts: [Int]) {
    var base = [0]
    var layers: [Int32] = []
    for (layer, count) in layerExperts.enumerated() {
      base.append(base[layer] + count)
      layers += repeatElement(Int32(layer), count: count)
    }
    self.base = base
    layerOfRecord = layers
    staleness = Array(repeating: Self.limit, count: layers.count)
    turnOfLayer = Array(repeating: 0, count: layerExperts.count)
  }

  public var followsRouter: Bool { true }

  public mutating func routed(_ view: RouterView) {
    turn += 1
    turnOfLayer[view.layer] = turn
    for record in base[view.layer]..<base[view.layer + 1] {
      staleness[record] = min(staleness[record] + 1, Self.limit)
    }
    for expert in view.chosen { staleness[base[view.layer] + Int(expert)] = 0 }
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double {
    staleness[record] = 0
    return worth(record)
  }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    staleness[record] = (1 - popularity) * Self.limit / 2
    return worth(record)
  }

  public func worth(_ record: Int) -> Double {
    -staleness[record] * Self.unit - turnOfLayer[Int(layerOfRecord[record])]
  }
}
