import Glibc
import Support
import WeightStore

func exponential(_ value: Double) -> Double { exp(value) }

/// Perplexity of several models on the same text, and the divergence between them.
///
/// All models are loaded side by side and take turns, piece by piece, so that no more than
/// `bufferBytes` of logits exist at a time, whatever the vocabulary.  Results do not depend on how
/// windows are cut into pieces, nor on the thread count.
public struct LikelihoodEvaluation: Sendable {
  /// One model to evaluate, and those it is compared with.
  public struct Subject: Sendable {
    public var engine: Engine
    /// Indices of subjects that serve as reference.
    public var references: [Int]

    public init(engine: Engine, references: [Int] = []) {
      self.engine = engine
      self.references = references
    }
  }

  /// Logits of all models together that are kept at a time.
  public static let bufferBytes = 64 << 20

  public let subjects: [Subject]
  public let windows: TextWindows
  let vocabularySize: Int
  let pieceLength: Int

  /// - Throws: `Failure(.mismatch)` for models with different vocabularies, `.budget` for a context
  ///   shorter than the window.
  public init(_ subjects: [Subject], windows: TextWindows) throws(Failure) {
    guard let first = subjects.first?.engine else {
      throw Failure(.usage, "perplexity", "there is no model to evaluate")
    }
    for subject in subjects {
      try Self.check(subject.engine, against: first, windows)
      precondition(subject.references.allSatisfy { subjects.indices.contains($0) })
    }
    self.subjects = subjects
    self.windows = windows
    vocabularySize = first.configuration.vocabularySize
    pieceLength = Self.pieceLength(
      windowLength: windows.length, vocabularySize: vocabularySize, modelCount: subjects.count)
  }

  /// Positions whose logits are kept at a time.
  static func pieceLength(windowLength: Int, vocabularySize: Int, modelCount: Int) -> Int {
    let fitting = bufferBytes / (vocabularySize * MemoryLayout<Float>.stride * modelCount)
    return min(max(fitting, 1), windowLength)
  }

  /// Memory an evaluation needs beside its engines.
  public static func workingBytes(windowLength: Int, vocabularySize: Int, modelCount: Int) -> Int {
    let piece = pieceLength(
      windowLength: windowLength, vocabularySize: vocabularySize, modelCount: modelCount)
    let threads = EngineOptions.processorCount
    return vocabularySize * modelCount
      * (piece * MemoryLayout<Float>.stride + threads * MemoryLayout<Double>.stride)
  }

  private static func check(_ engine: Engine, against first: Engine, _ windows: TextWindows)
    throws(Failure)
  {
    let vocabulary = engine.configuration.vocabularySize
    guard vocabulary == first.configuration.vocabularySize else {
      throw Failure(
        .mismatch, engine.store.path,
        "a vocabulary of \(vocabulary), \(first.store.path) has "
          + "\(first.configuration.vocabularySize): their predictions cannot be compared")
    }
    let tokenizers = [engine, first].map { engine in
      engine.store.manifest.companions.first { $0.name == "tokenizer.json" }?.checksum
    }
    // Text is encoded once: another vocabulary would give its tokens another meaning.
    guard tokenizers[0] == tokenizers[1] else {
      throw Failure(
        .mismatch, engine.store.path,
        "its tokenizer is not the one of \(first.store.path)",
        remedy: "Compare stores packed from the same checkpoint")
    }
    guard engine.plan.contextLength >= windows.length else {
      throw Failure(
        .budget, "--window",
        "\(windows.length) where the context holds \(engine.plan.contextLength)",
        remedy: "Use --ctx \(windows.length) or a smaller --window")
    }
  }

  /// Runs every window of every text through every model.
  ///
  /// - Parameters:
  ///   - texts: token ids; windows never cross from one text to the next.
  ///   - progress: told after every window.
  ///   - isCancelled: asked before every window.
  /// - Returns: one result for each subject.
  /// - Throws: `Failure(.usage)` when no token can be scored, and what a forward pass throws.
  public func run(
    _ texts: [[Int32]], isCancelled: () -> Bool = { false },
    progress: (EvaluationProgress) -> Void = { _ in }
  ) throws(Failure) -> [LikelihoodResult] {
    let plans = texts.map { windows.windows(over: $0.count) }
    let total = plans.joined().reduce(0) { $0 + $1.count }
    guard total > 0 else {
      throw Failure(.usage, "text", "it needs at least 2 tokens", remedy: "Give a longer text")
    }
    for text in texts {
      if let bad = text.first(where: { $0 < 0 || Int($0) >= vocabularySize }) {
        throw Failure(
          .usage, "token ids", "\(bad) is outside the vocabulary of \(vocabularySize)")
      }
    }
    let scorer = try PieceScorer(
      subjects: subjects, pieceLength: pieceLength, vocabularySize: vocabularySize)
    let start = Clock.nanoseconds()
    var done = 0
    for (text, plan) in zip(texts, plans) {
      for window in plan {
        if isCancelled() { throw Failure(.cancelled, "perplexity", "interrupted") }
        try run(window, of: text, scorer)
        done += window.count
        progress(
          EvaluationProgress(
            tokens: done, totalTokens: total, seconds: Clock.seconds(since: start),
            perplexity: scorer.results[0].perplexity))
      }
    }
    return scorer.results
  }

  private func run(_ window: TextWindows.Window, of text: [Int32], _ scorer: PieceScorer)
    throws(Failure)
  {
    let tokens = Array(text[window.start..<window.start + window.count])
    // The logits after a position score the token that follows it; the last one scores nothing.
    let wanted = window.firstScored - 1..<window.count - 1
    var start = 0
    while start < wanted.upperBound {
      let piece = start..<min(start + pieceLength, wanted.upperBound)
      for (index, subject) in subjects.enumerated() {
        let begin = Clock.nanoseconds()
        try subject.engine.collectLogits(tokens, piece, wanted: wanted, into: scorer.buffers[index])
        scorer.results[index].seconds += Clock.seconds(since: begin)
      }
      scorer.score(tokens, piece: piece, scored: piece.clamped(to: wanted))
      start = piece.upperBound
    }
    for index in subjects.indices { scorer.results[index].windowCount += 1 }
  }
}
