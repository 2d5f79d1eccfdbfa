import Glibc

/// Draws tokens from logits; its buffers are allocated once.
struct Sampler {
  let options: SamplingOptions
  let seed: UInt64
  private var random: RandomSource
  /// Candidate ids, most likely first once sorted, and their probabilities.
  private var candidates: [Int32]
  private var probabilities: [Float]

  init(_ options: SamplingOptions, vocabularySize: Int) {
    self.options = options
    seed = options.seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
    random = RandomSource(seed: seed)
    candidates = [Int32](repeating: 0, count: options.temperature > 0 ? vocabularySize : 0)
    probabilities = [Float](repeating: 0, count: candidates.count)
  }

  /// The next token; penalties change `logits` in place.
  mutating func sample(_ logits: UnsafeMutableBufferPointer<Float>, history: [Int32]) -> Int32 {
    if options.penalizes { penalize(logits, history: history) }
    guard options.temperature > 0 else { return Self.argmax(UnsafeBufferPointer(logits)) }
    let kept = rank(logits)
    return draw(kept)
  }

  /// The lowest id among the largest logits.
  static func argmax(_ logits: UnsafeBufferPointer<Float>) -> Int32 {
    var best = 0
    for at in 1..<max(logits.count, 1) where logits[at] > logits[best] { best = at }
    return Int32(best)
  }

  private func penalize(_ logits: UnsafeMutableBufferPointer<Float>, history: [Int32]) {
    let window =
      options.penaltyWindow < 0 ? history[...] : history.suffix(options.penaltyWindow)
    var counts: [Int32: Int] = [:]
    for token in window { counts[token, default: 0] += 1 }
    for (token, count) in counts where Int(token) < logits.count {
      var logit = logits[Int(token)]
      logit = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty
      logits[Int(token)] =
        logit - options.presencePenalty - Float(count) * options.frequencyPenalty
    }
  }

  /// Fills the candidates that survive top-k, top-p and min-p; returns how many.
  private mutating func rank(_ logits: UnsafeMutableBufferPointer<Float>) -> Int {
    for at in candidates.indices { candidates[at] = Int32(at) }
    let filters = options.topK > 0 || options.topP < 1
    if filters {
      // Ties go to the lower id, so that a draw depends on the seed alone.
      candidates.sort {
        let (left, right) = (logits[Int($0)], logits[Int($1)])
        return left != right ? left > right : $0 < $1
      }
    }
    var kept = options.topK > 0 ? min(options.topK, candidates.count) : candidates.count
    let largest = logits[Int(filters ? candidates[0] : Self.argmax(UnsafeBufferPointer(logits)))]
    if options.topP < 1 {
      var total: Float = 0
      for at in 0..<kept {
        probabilities[at] = expf(logits[Int(candidates[at])] - largest)
        total += probabilities[at]
      }
      var sum: Float = 0
      for at in 0..<kept {
        sum += probabilities[at]
        if sum >= options.topP * total {
          kept = at + 1
          break
        }
      }
    }
    if options.minP > 0 {
      let threshold = largest + logf(options.minP)
      var survivors = 0
      for at in 0..<kept where logits[Int(candidates[at])] >= threshold {
        candidates[survivors] = candidates[at]
        survivors += 1
      }
      kept = survivors
    }
    for at in 0..<kept {
      probabilities[at] = expf((logits[Int(candidates[at])] - largest) / options.temperature)
    }
    return kept
  }

  private mutating func draw(_ kept: Int) -> Int32 {
    var total = 0.0
    for at in 0..<kept { total += Double(probabilities[at]) }
    var target = random.nextUnit() * total
    for at in 0..<kept {
      target -= Double(probabilities[at])
      if target < 0 { return candidates[at] }
    }
    return candidates[max(kept - 1, 0)]
  }
}
