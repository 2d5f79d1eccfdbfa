/// Which slots a layer may use: all of them, or its own and the shared transit slots.
///
/// With fewer slots than one token demands over all layers, a global cache replaces every record
/// before its layer comes round again and hits nothing.  There each layer owns an equal part, and
/// `expertsPerToken` transit slots guarantee that any token can pass.
public struct CachePartition: Sendable, Equatable {
  public let slotCount: Int
  /// Slots `0 ..< transitCount` belong to nobody; zero when the cache is global.
  public let transitCount: Int
  /// Layer `l` owns `starts[l] ..< starts[l + 1]`; empty when the cache is global.
  private let starts: [Int]

  public var isGlobal: Bool { starts.isEmpty }

  /// - Parameter layerExperts: experts of each layer.
  public init(slotCount: Int, layerExperts: [Int], expertsPerToken: Int) {
    self.slotCount = slotCount
    let workingSet = Self.workingSet(layerExperts: layerExperts, expertsPerToken: expertsPerToken)
    guard slotCount < workingSet, layerExperts.count > 1 else {
      transitCount = 0
      starts = []
      return
    }
    transitCount = min(expertsPerToken, slotCount)
    var quotas = Array(repeating: 0, count: layerExperts.count)
    var left = slotCount - transitCount
    var given = true
    while left > 0, given {
      given = false
      for layer in quotas.indices where left > 0 && quotas[layer] < layerExperts[layer] {
        quotas[layer] += 1
        left -= 1
        given = true
      }
    }
    var starts = [transitCount]
    for quota in quotas { starts.append(starts[starts.count - 1] + quota) }
    self.starts = starts
  }

  /// Records that one token demands over all layers.
  public static func workingSet(layerExperts: [Int], expertsPerToken: Int) -> Int {
    layerExperts.reduce(0) { $0 + min($1, expertsPerToken) }
  }

  /// Slots whose records stay: the layer's own, or all.
  public func ownSlots(layer: Int) -> Range<Int> {
    isGlobal ? 0..<slotCount : starts[layer]..<starts[layer + 1]
  }

  public var transitSlots: Range<Int> { 0..<transitCount }
}
