import Support
import WeightStore

/// Fills the cache at start from the popularity a store's `profile.json` records.
///
/// The profile holds `popularity`: for each expert layer a list of counts, one an expert.  It only
/// decides what is read first; it can never change a result.
enum WarmFill {
  static let fileName = "profile.json"

  /// Returns how many records were loaded: 0 when the store has no profile.
  static func fill(_ streamer: ExpertStreamer, store: Store, slotCount: Int) throws(Failure) -> Int
  {
    guard let bytes = try store.companion(fileName) else { return 0 }
    let subject = store.filePath(fileName)
    let profile = try JSONValue.parse(bytes, subject: subject)
    let counts = try popularity(profile, store: store, subject: subject)
    var ranked: [(count: Int, layer: Int, expert: Int)] = []
    for (layer, row) in counts.enumerated() {
      for (expert, count) in row.enumerated() where count > 0 {
        ranked.append((count, layer, expert))
      }
    }
    ranked.sort { ($1.count, $0.layer, $0.expert) < ($0.count, $1.layer, $1.expert) }
    let chosen = ranked.prefix(slotCount).map { (layer: $0.layer, expert: $0.expert) }
    try streamer.warmFill(Array(chosen))
    return chosen.count
  }

  private static func popularity(_ profile: JSONValue, store: Store, subject: String)
    throws(Failure) -> [[Int]]
  {
    let layers = store.manifest.layers
    guard let rows = profile["popularity"]?.array, rows.count == layers.count else {
      throw Failure(
        .mismatch, subject, at: "popularity", "it must list all \(layers.count) expert layers",
        remedy: "Make the profile again or remove it")
    }
    var counts: [[Int]] = []
    for (layer, row) in zip(layers, rows) {
      let values = row.array?.compactMap(\.integer) ?? []
      guard values.count == layer.expertCount, values.allSatisfy({ $0 >= 0 }) else {
        throw Failure(
          .mismatch, subject, at: "popularity, layer \(layer.layer)",
          "it must hold \(layer.expertCount) counts", remedy: "Make the profile again or remove it")
      }
      counts.append(values)
    }
    return counts
  }
}
