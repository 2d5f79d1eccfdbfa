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
    guard !tokens.isEmpty else {
      throw Failure(.usage, "token ids", "there are none", remedy: "Give --ids or --ids-file")
    }
    return try withCore { core throws(Failure) in
      core.startOver()
      var result = LogitsResult(
        tokenCount: tokens.count, vocabularySize: core.configuration.vocabularySize, logits: [],
        expertsPerToken: core.configuration.experts.perToken, routing: [])
      func run() throws(Failure) {
        try core.process(tokens, chunkLength: chunkLength) { _, rows in
          for row in 0..<rows { result.logits.append(contentsOf: core.decoder.logits(row: row)) }
          return true
        }
      }
      if wantsRouting { result.routing = try core.routing(while: run) } else { try run() }
      return result
    }
  }

  /// The experts every token of a text is routed to, in each layer that has them; logits are not
  /// computed.
  ///
  /// - Throws: `Failure` as a generation does.
  public func routing(of tokens: [Int32]) throws(Failure) -> [LogitsResult.Routing] {
    try withCore { core throws(Failure) in
      core.startOver()
      return try core.routing { () throws(Failure) in try core.process(tokens) }
    }
  }
}

extension LogitsResult.Routing {
  mutating func append(
    _ indices: UnsafeBufferPointer<Int32>, _ weights: UnsafeBufferPointer<Float>
  ) {
    self.indices.append(contentsOf: indices)
    self.weights.append(contentsOf: weights)
  }
}
