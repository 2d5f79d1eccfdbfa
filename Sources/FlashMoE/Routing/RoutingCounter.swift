/// Counts experts over texts, and rows an expert over chunks of several lengths.
struct RoutingCounter {
  private let layerExperts: [Int]
  private let expertsPerToken: Int
  private(set) var popularity: [[Int]]
  private var lengths: [Length]

  /// Chunks of one length, cut through each text on its own.
  private struct Length {
    let tokens: Int
    var tokensInChunk = 0
    /// [layer][expert] rows in the present chunk.
    var rows: [[Int]]
    /// [layer] how many (chunk, expert) pairs had so many rows.
    var histogram: [[Int]]
    var chunkCount = 0
  }

  init(layerExperts: [Int], expertsPerToken: Int, chunkTokens: [Int]) {
    self.layerExperts = layerExperts
    self.expertsPerToken = expertsPerToken
    let none = layerExperts.map { Array(repeating: 0, count: $0) }
    popularity = none
    lengths = chunkTokens.sorted().map { tokens in
      Length(
        tokens: tokens, rows: none,
        histogram: layerExperts.map { _ in Array(repeating: 0, count: tokens + 1) })
    }
  }

  /// - Parameter routing: of each layer, [n][k] chosen experts of the text's next tokens.
  mutating func add(_ routing: [[Int32]]) {
    let count = (routing.first?.count ?? 0) / expertsPerToken
    for (layer, indices) in routing.enumerated() {
      for expert in indices { popularity[layer][Int(expert)] += 1 }
    }
    for index in lengths.indices {
      for token in 0..<count {
        for (layer, indices) in routing.enumerated() {
          for at in token * expertsPerToken..<(token + 1) * expertsPerToken {
            lengths[index].rows[layer][Int(indices[at])] += 1
          }
        }
        lengths[index].tokensInChunk += 1
        if lengths[index].tokensInChunk == lengths[index].tokens { endChunk(index) }
      }
    }
  }

  private mutating func endChunk(_ index: Int) {
    for layer in layerExperts.indices {
      for expert in 0..<layerExperts[layer] {
        lengths[index].histogram[layer][lengths[index].rows[layer][expert]] += 1
        lengths[index].rows[layer][expert] = 0
      }
    }
    lengths[index].chunkCount += 1
    lengths[index].tokensInChunk = 0
  }

  /// What is left of a text is no whole chunk and not counted.
  mutating func endText() {
    for index in lengths.indices where lengths[index].tokensInChunk > 0 {
      lengths[index].tokensInChunk = 0
      lengths[index].rows = layerExperts.map { Array(repeating: 0, count: $0) }
    }
  }

  /// Lengths of which a whole chunk was seen.
  var chunks: [Profile.Chunk] {
    lengths.filter { $0.chunkCount > 0 }.map { length in
      Profile.Chunk(
        tokens: length.tokens,
        layers: length.histogram.map { histogram in
          let used = histogram.dropFirst().reduce(0, +)
          return Profile.Rows(
            median: Self.quantile(0.5, histogram, used),
            ninetieth: Self.quantile(0.9, histogram, used),
            ninetyNinth: Self.quantile(0.99, histogram, used),
            largest: histogram.lastIndex { $0 > 0 } ?? 0,
            expertsUsed: Double(used) / Double(length.chunkCount))
        })
    }
  }

  /// The least number of rows that this share of the used pairs does not exceed.
  private static func quantile(_ share: Double, _ histogram: [Int], _ used: Int) -> Int {
    let wanted = share * Double(used)
    var seen = 0
    for rows in 1..<max(2, histogram.count) where rows < histogram.count {
      seen += histogram[rows]
      if Double(seen) >= wanted { return rows }
    }
    return 0
  }
}
