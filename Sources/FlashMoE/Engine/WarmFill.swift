import Support
import WeightStore

/// Fills the cache at start with the records that a store's profile calls popular.
enum WarmFill {
  /// Returns how many records were loaded: 0 when the store has no profile.
  static func fill(_ streamer: ExpertStreamer, store: Store, slotCount: Int) throws(Failure) -> Int
  {
    guard let profile = try Profile(of: store) else { return 0 }
    let chosen = Array(profile.ranking.prefix(slotCount))
    try streamer.warmFill(chosen)
    return chosen.count
  }
}
