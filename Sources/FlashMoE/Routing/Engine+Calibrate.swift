import Support
import WeightStore

/// How much of a text calibration looks at.
public struct CalibrationOptions: Sendable {
  /// Chunks whose rows are counted.
  public var chunkTokens: [Int]
  /// Tokens that go one by one, to see what predictions were worth.
  public var predictionTokens: Int

  public init(chunkTokens: [Int] = [256, 512, 1024, 2048], predictionTokens: Int = 512) {
    self.chunkTokens = chunkTokens
    self.predictionTokens = predictionTokens
  }
}

extension Engine {
  /// Measures which experts given texts use, how rows spread over them in chunks, and how often
  /// predictions come true.
  ///
  /// - Parameters:
  ///   - importance: takes note of what experts are fed.
  ///   - progress: told after every window how many of how many tokens are done; returning
  ///   false stops.
  /// - Throws: `Failure(.usage)` for a store without experts or texts without tokens, `.cancelled`
  ///   when stopped, and what a generation throws.
  public func calibrate(
    _ texts: [(name: String, tokens: [Int32])],
    options: CalibrationOptions = CalibrationOptions(), importance: ImportanceRecorder? = nil,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Bool = { _, _ in true }
  ) throws(Failure) -> Profile {
    let texts = texts.filter { !$0.tokens.isEmpty }
    guard !store.manifest.layers.isEmpty else {
      throw Failure(.usage, store.path, "the model has no routed experts to calibrate")
    }
    guard let first = texts.first else {
      throw Failure(.usage, "text", "there are no tokens to calibrate with")
    }
    let sample = Array(first.tokens.prefix(max(1, options.predictionTokens)))
    let total = texts.reduce(0) { $0 + $1.tokens.count } + sample.count
    var counter = RoutingCounter(
      layerExperts: store.manifest.layers.map(\.expertCount),
      expertsPerToken: configuration.experts.perToken, chunkTokens: options.chunkTokens)
    var done = 0
    if let importance { try observe { importance.add($0) } }
    defer { try? observe(nil) }
    for text in texts {
      var start = 0
      while start < text.tokens.count {
        let count = min(plan.contextLength, text.tokens.count - start)
        let routing = try routing(of: Array(text.tokens[start..<start + count]))
        counter.add(routing.map(\.indices))
        start += count
        done += count
        guard progress(done, total) else { throw Failure(.cancelled, "calibrate", "interrupted") }
      }
      counter.endText()
    }
    let counted = done
    let trace = try trace([(first.name, sample)]) { one, _ in progress(counted + one, total) }
    return Profile(
      model: store.manifest.name, fingerprint: store.manifest.fingerprint,
      texts: texts.map(\.name), tokenCount: counted, popularity: counter.popularity,
      chunks: counter.chunks, predictionTokenCount: trace.tokenCount,
      predictions: trace.predictionShares)
  }

  private func observe(_ observer: (@Sendable (ExpertRows) -> Void)?) throws(Failure) {
    try withCore { core in core.decoder.expertObserver = observer }
  }
}
