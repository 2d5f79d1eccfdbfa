import Support

/// Logits of every position of a text, and the routing behind them.
public struct LogitsResult: Sendable {
  public struct Routing: Sendable {
    /// The model's layer number.
    public var layer: Int
    /// [n][k] chosen experts by falling weight, and what their outputs are multiplied by.
    public var indices: [Int32]
    public var weights: [Float]
  }

  public var tokenCount: Int
  public var vocabularySize: Int
  /// [n][V]
  public var logits: [Float]
  public var expertsPerToken: Int
  public var routing: [Routing]
}

extension Engine {
  /// Runs `tokens` from an empty context and keeps the logits after each of them.
  ///
  /// - Parameters:
  ///   - chunkLength: tokens that go through a layer together; the result does not depend on it.
  ///   - wantsRouting: also records the experts every token chose.
  /// - Throws: `Failure` as a generation does.
  public func logits(
    _ tokens: [Int32], chunkLength: Int? = nil, wantsRouting: Bool = false
  ) throws(Failure) -> LogitsResult {
    let vocabulary = configuration.vocabularySize
    var result = LogitsResult(
      tokenCount: tokens.count, vocabularySize: vocabulary, logits: [],
      expertsPerToken: configuration.experts.perToken, routing: [])
    let collected = try scan(tokens, chunkLength: chunkLength, wantsRouting: wantsRouting) {
      (values: inout [Float], _, row) in values.append(contentsOf: row)
    }
    result.logits = collected.value
    result.routing = collected.routing
    return result
  }

  /// Calls `visit` with the logits [V] after each token, in order, without keeping them.
  func scan(
    _ tokens: [Int32], chunkLength: Int? = nil, wantsRouting: Bool = false,
    visit: @escaping @Sendable (inout [Float], Int, UnsafeMutableBufferPointer<Float>) -> Void
  ) throws(Failure) -> (value: [Float], routing: [LogitsResult.Routing]) {
    guard !tokens.isEmpty else {
      throw Failure(.usage, "token ids", "there are none", remedy: "Give --ids or --ids-file")
    }
    let sparseLayers = configuration.sparseLayers
    let perToken = configuration.experts.perToken
    return try withCore { core throws(Failure) in
      core.rewind(to: 0)
      core.resetStatistics()
      var routing: [Int: LogitsResult.Routing] = [:]
      if wantsRouting {
        core.decoder.routerObserver = { layer, indices, weights, rows in
          let count = rows * perToken
          var entry =
            routing[layer] ?? LogitsResult.Routing(layer: layer, indices: [], weights: [])
          entry.indices.append(contentsOf: UnsafeBufferPointer(start: indices, count: count))
          entry.weights.append(contentsOf: UnsafeBufferPointer(start: weights, count: count))
          routing[layer] = entry
        }
      }
      defer { core.decoder.routerObserver = nil }
      var values: [Float] = []
      try core.process(tokens, chunkLength: chunkLength) { start, rows in
        for row in 0..<rows { visit(&values, start + row, core.decoder.logits(row: row)) }
        return true
      }
      return (values, sparseLayers.compactMap { routing[$0] })
    }
  }
}
