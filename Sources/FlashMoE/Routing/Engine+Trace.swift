import Support
import WeightStore

/// What to record of which texts.
public struct TraceOptions: Sendable {
  /// Tokens after which the context starts empty again; nil takes what the engine's context holds.
  public var windowLength: Int?
  /// Tokens at the start of every window that a replay takes as a prompt: a chunk, not steps.
  public var promptLength: Int
  /// Experts recorded as predicted for each layer; nil takes twice the experts of a token.
  public var predictionCount: Int?

  public init(windowLength: Int? = nil, promptLength: Int = 0, predictionCount: Int? = nil) {
    self.windowLength = windowLength
    self.promptLength = promptLength
    self.predictionCount = predictionCount
  }
}

extension Engine {
  /// Records the routing of given texts, token by token, each from an empty context.
  ///
  /// - Parameter progress: told after every token how many of how many are done; returning false
  ///   stops.
  /// - Throws: `Failure(.usage)` for a store without experts or texts without tokens, `.cancelled`
  ///   when stopped, and what a generation throws.
  public func trace(
    _ texts: [(name: String, tokens: [Int32])], options: TraceOptions = TraceOptions(),
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Bool = { _, _ in true }
  ) throws(Failure) -> RoutingTrace {
    guard !store.manifest.layers.isEmpty else {
      throw Failure(.usage, store.path, "the model has no routed experts to trace")
    }
    let total = texts.reduce(0) { $0 + $1.tokens.count }
    guard total > 0 else { throw Failure(.usage, "text", "there are no tokens to trace") }
    let experts = configuration.experts
    let window = max(1, min(options.windowLength ?? plan.contextLength, plan.contextLength))
    let predictions = options.predictionCount ?? 2 * experts.perToken
    let empty = RoutingTrace(
      of: store.manifest, expertsPerToken: experts.perToken,
      predictionCount: min(max(predictions, 0), experts.count))
    return try withCore { core throws(Failure) in
      let recorder = TraceRecorder(empty)
      core.decoder.stepObserver = recorder.observe
      defer {
        core.decoder.stepObserver = nil
        core.startOver()
      }
      var done = 0
      for text in texts {
        recorder.trace.texts.append(
          RoutingTrace.Text(name: text.name, tokenCount: text.tokens.count))
        var start = 0
        while start < text.tokens.count {
          let count = min(window, text.tokens.count - start)
          core.startOver()
          let prompt = min(options.promptLength, count)
          if prompt > 0 { recorder.trace.appendStep(rows: prompt) }
          for at in 0..<count {
            let token = text.tokens[start + at]
            recorder.trace.beginToken(UInt32(bitPattern: token))
            if at >= prompt { recorder.trace.appendStep(rows: 1) }
            try core.process([token])
            done += 1
            guard progress(done, total) else {
              throw Failure(.cancelled, "trace", "interrupted")
            }
          }
          start += count
        }
      }
      return recorder.trace
    }
  }
}

/// Collects what the decoder's steps show.
private final class TraceRecorder {
  var trace: RoutingTrace

  init(_ trace: RoutingTrace) { self.trace = trace }

  func observe(_ step: RoutedStep) {
    trace.record(
      layer: step.storeLayer, probabilities: step.probabilities, experts: step.chosen)
    if let next = step.next {
      trace.predict(layer: next.storeLayer, probabilities: next.probabilities)
    }
  }
}

/// What a single token's routers said in one layer; pointers are valid during the call.
struct RoutedStep {
  /// Index into the manifest's layers.
  var storeLayer: Int
  /// [E]
  var probabilities: UnsafePointer<Float>
  /// [k] by falling weight.
  var chosen: UnsafeBufferPointer<Int32>
  /// The next layer's router on this layer's hidden state, where there is one.
  var next: (storeLayer: Int, probabilities: UnsafePointer<Float>)?
}
