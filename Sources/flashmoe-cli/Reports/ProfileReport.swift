import FlashMoE
import Support

/// A profile in a few lines.
struct ProfileReport {
  private let profile: Profile

  init(_ profile: Profile) { self.profile = profile }

  /// `8192 tokens of a.txt, b.txt`.
  var summary: String {
    "\(profile.tokenCount) tokens of \(profile.texts.joined(separator: ", "))"
  }

  /// Share of all look-ups that the most popular tenth, quarter and half of the experts serve.
  private var coverage: [(share: Int, hits: Double)] {
    let counts = profile.popularity.flatMap { $0 }.sorted(by: >)
    let total = Double(max(1, counts.reduce(0, +)))
    return [10, 25, 50].map { share in
      (share, Double(counts.prefix(counts.count * share / 100).reduce(0, +)) / total)
    }
  }

  private static func percent(_ value: Double) -> String {
    ByteCount.fixed(100 * value, digits: 1) + " %"
  }

  func text(path: String) -> String {
    var lines = ["\(path): \(summary)"]
    var table = Table(.left, .left)
    table.add(
      "popular experts",
      coverage.map { "\($0.share) % serve \(Self.percent($0.hits))" }.joined(separator: ", "))
    for chunk in profile.chunks {
      let rows = chunk.layers
      let used = rows.reduce(0) { $0 + $1.expertsUsed } / Double(max(1, rows.count))
      let median = rows.map(\.median).sorted()[rows.count / 2]
      table.add(
        "chunks of \(chunk.tokens)",
        "\(ByteCount.fixed(used, digits: 1)) experts a layer, median \(median) rows, at most "
          + "\(rows.map(\.largest).max() ?? 0)")
    }
    let ranks = profile.predictions.compactMap { $0 }
    if let count = ranks.map(\.count).min(), count > 0 {
      let shares = (0..<count).map { rank in
        ByteCount.fixed(
          100 * ranks.reduce(0) { $0 + $1[rank] } / Double(ranks.count), digits: 0)
      }
      table.add(
        "predictions", "\(shares.joined(separator: ", ")) % of ranks 1 to \(count) came true")
    }
    lines.append(table.text())
    return lines.joined(separator: "\n")
  }
}
