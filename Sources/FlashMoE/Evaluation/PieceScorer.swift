import Support

/// Turns logits of all models at some positions into losses and divergences.
///
/// Positions are shared among threads; sums are taken in the order of the text afterwards, so the
/// result does not depend on the thread count.
final class PieceScorer {
  let buffers: [LogitBuffer]
  var results: [LikelihoodResult]

  private let subjects: [LikelihoodEvaluation.Subject]
  private let vocabularySize: Int
  private let pool: WorkerPool
  private let isReference: [Bool]
  /// (model, place among its divergences, reference)
  private let comparisons: [(model: Int, place: Int, reference: Int)]
  /// [threads][models][V] exp(logit - maximum) of references.
  private let exponentials: UnsafeMutablePointer<Double>
  /// [rows][models] losses, then best tokens; [rows][comparisons] divergences.
  private let losses: UnsafeMutablePointer<Double>
  private let bestTokens: UnsafeMutablePointer<Int>
  private let divergences: UnsafeMutablePointer<Double>

  /// - Throws: `Failure(.io)` when the system refuses a thread.
  init(subjects: [LikelihoodEvaluation.Subject], pieceLength: Int, vocabularySize: Int)
    throws(Failure)
  {
    self.subjects = subjects
    self.vocabularySize = vocabularySize
    pool = try WorkerPool(threadCount: EngineOptions.processorCount)
    var isReference = Array(repeating: false, count: subjects.count)
    var comparisons: [(model: Int, place: Int, reference: Int)] = []
    for (model, subject) in subjects.enumerated() {
      for (place, reference) in subject.references.enumerated() {
        isReference[reference] = true
        comparisons.append((model, place, reference))
      }
    }
    self.isReference = isReference
    self.comparisons = comparisons
    buffers = subjects.map { _ in
      LogitBuffer(rowCount: pieceLength, vocabularySize: vocabularySize)
    }
    results = subjects.map { subject in
      var result = LikelihoodResult()
      result.divergences = subject.references.map { Divergence(reference: $0) }
      return result
    }
    exponentials = .allocate(capacity: pool.threadCount * subjects.count * vocabularySize)
    losses = .allocate(capacity: pieceLength * subjects.count)
    bestTokens = .allocate(capacity: pieceLength * subjects.count)
    divergences = .allocate(capacity: pieceLength * max(comparisons.count, 1))
  }

  deinit {
    exponentials.deallocate()
    losses.deallocate()
    bestTokens.deallocate()
    divergences.deallocate()
  }

  /// Scores the tokens that follow positions `scored`, whose logits lie at `position - piece.lowerBound`.
  func score(_ tokens: [Int32], piece: Range<Int>, scored: Range<Int>) {
    guard !scored.isEmpty else { return }
    pool.run { thread in
      for index in pool.share(of: scored.count, for: thread) {
        let position = scored.lowerBound + index
        scoreRow(
          position - piece.lowerBound, at: index, token: tokens[position + 1], thread: thread)
      }
    }
    for index in 0..<scored.count { accumulate(index) }
  }

  private func scoreRow(_ row: Int, at index: Int, token: Int32, thread: Int) {
    let models = subjects.count
    func exponentials(of model: Int) -> UnsafeMutablePointer<Double> {
      self.exponentials + (thread * models + model) * vocabularySize
    }
    let softmaxes = (0..<models).map { model in
      LogSoftmax(
        buffers[model].row(row), count: vocabularySize,
        exponentials: isReference[model] ? exponentials(of: model) : nil)
    }
    for (model, softmax) in softmaxes.enumerated() {
      losses[index * models + model] = softmax.negativeLogLikelihood(token)
      bestTokens[index * models + model] = softmax.best
    }
    for (place, comparison) in comparisons.enumerated() {
      divergences[index * comparisons.count + place] = softmaxes[comparison.reference].divergence(
        to: softmaxes[comparison.model], exponentials: exponentials(of: comparison.reference))
    }
  }

  private func accumulate(_ index: Int) {
    let models = subjects.count
    for model in 0..<models { results[model].loss.add(losses[index * models + model]) }
    for (at, comparison) in comparisons.enumerated() {
      let (model, reference) = (
        index * models + comparison.model, index * models + comparison.reference
      )
      var entry = results[comparison.model].divergences[comparison.place]
      entry.divergence.add(divergences[index * comparisons.count + at])
      entry.excess.add(losses[model] - losses[reference])
      if bestTokens[model] == bestTokens[reference] { entry.agreements += 1 }
      results[comparison.model].divergences[comparison.place] = entry
    }
  }
}
