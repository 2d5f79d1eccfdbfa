import CKernels
import Glibc

/// Chooses the experts of each token.
///
/// Ties go to the lower expert number, so a choice never depends on sort order.
struct Router {
  private enum Rule {
    case softmax, softmaxOfChosen, sigmoid, sparseMixer
  }

  let expertCount: Int
  let perToken: Int
  private let rule: Rule
  private let jitter: Float
  private let normalizes: Bool
  private let scale: Float
  /// 1 group: all experts are in the running.
  private let groupCount: Int
  private let keptGroups: Int
  private let groupsCountBestTwo: Bool

  init(_ experts: ModelConfiguration.Experts) {
    expertCount = experts.count
    perToken = experts.perToken
    let routing = experts.routing
    var jitter: Float = 0
    switch routing.rule {
    case .softmax: rule = .softmax
    case .softmaxOfChosen: rule = .softmaxOfChosen
    case .sigmoid: rule = .sigmoid
    case .sparseMixer(let spread):
      rule = .sparseMixer
      jitter = spread
    }
    self.jitter = jitter
    normalizes = routing.normalizes
    scale = routing.scale
    groupCount = routing.groups?.count ?? 1
    keptGroups = routing.groups?.kept ?? 1
    groupsCountBestTwo = routing.groups?.score == .sumOfBestTwo
  }

  /// Turns `logits` [expertCount] into chosen experts and weights, by falling weight.
  ///
  /// Afterwards `logits` are probabilities of all experts, for whoever predicts.
  @inline(__always)
  func choose(
    _ logits: UnsafeMutablePointer<Float>, correction: UnsafePointer<Float>?, kernels: Kernels,
    indices: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
  ) {
    switch rule {
    case .softmax where groupCount == 1 && correction == nil:
      kernels.table.pointee.softmax(logits, expertCount)
      takeLargest(logits, indices: indices, weights: weights)
      finish(weights)
    case .softmaxOfChosen:
      takeLargest(logits, indices: indices, weights: weights)
      kernels.table.pointee.softmax(weights, perToken)
      kernels.table.pointee.softmax(logits, expertCount)
    case .sparseMixer:
      mixSparsely(logits, indices: indices, weights: weights)
      kernels.table.pointee.softmax(logits, expertCount)
    case .softmax:
      kernels.table.pointee.softmax(logits, expertCount)
      chooseCorrected(logits, correction, indices: indices, weights: weights)
    case .sigmoid:
      kernels.table.pointee.sigmoid(logits, expertCount)
      chooseCorrected(logits, correction, indices: indices, weights: weights)
      makeDistribution(logits)
    }
  }

  /// The k largest of all values, by falling value.
  @inline(__always)
  private func takeLargest(
    _ values: UnsafePointer<Float>, indices: UnsafeMutablePointer<Int32>,
    weights: UnsafeMutablePointer<Float>
  ) {
    var filled = 0
    for expert in 0..<expertCount {
      let value = values[expert]
      // Insertion into a list of k: most experts fail the first comparison.
      if filled == perToken, value <= weights[perToken - 1] { continue }
      insert(Int32(expert), value, &filled, indices, weights)
    }
  }

  @inline(__always)
  private func insert(
    _ expert: Int32, _ value: Float, _ filled: inout Int,
    _ indices: UnsafeMutablePointer<Int32>, _ values: UnsafeMutablePointer<Float>
  ) {
    var at = filled < perToken ? filled : perToken - 1
    while at > 0, values[at - 1] < value {
      values[at] = values[at - 1]
      indices[at] = indices[at - 1]
      at -= 1
    }
    values[at] = value
    indices[at] = expert
    if filled < perToken { filled += 1 }
  }

  /// Normalizing and scaling of weights.
  @inline(__always)
  private func finish(_ weights: UnsafeMutablePointer<Float>) {
    if normalizes {
      var sum: Float = 0
      for at in 0..<perToken { sum += weights[at] }
      for at in 0..<perToken { weights[at] /= sum }
    }
    if scale != 1 { for at in 0..<perToken { weights[at] *= scale } }
  }
}

/// Choices that a correction or groups decide.
extension Router {
  /// The k largest of score + correction within the best groups; weights are the scores alone.
  private func chooseCorrected(
    _ scores: UnsafePointer<Float>, _ correction: UnsafePointer<Float>?,
    indices: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
  ) {
    let kept = bestGroups(scores, correction)
    let groupSize = expertCount / groupCount
    var filled = 0
    for expert in 0..<expertCount where kept >> UInt64(expert / groupSize) & 1 == 1 {
      let value = scores[expert] + (correction?[expert] ?? 0)
      if filled == perToken, value <= weights[perToken - 1] { continue }
      insert(Int32(expert), value, &filled, indices, weights)
    }
    // By falling weight, which is another order where there is a correction.
    filled = 0
    for at in 0..<perToken {
      let expert = indices[at]
      insert(expert, scores[Int(expert)], &filled, indices, weights)
    }
    finish(weights)
  }

  /// One bit for each group that stays in the running.
  private func bestGroups(
    _ scores: UnsafePointer<Float>, _ correction: UnsafePointer<Float>?
  ) -> UInt64 {
    guard groupCount > 1 else { return 1 }
    let groupSize = expertCount / groupCount
    var kept: UInt64 = 0
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: groupCount) { values in
      for group in 0..<groupCount {
        var (best, second) = (-Float.infinity, -Float.infinity)
        for expert in group * groupSize..<(group + 1) * groupSize {
          let value = scores[expert] + (correction?[expert] ?? 0)
          if value > best {
            second = best
            best = value
          } else if value > second {
            second = value
          }
        }
        values[group] = groupsCountBestTwo ? best + second : best
      }
      for _ in 0..<keptGroups {
        var best = -1
        for group in 0..<groupCount where kept >> UInt64(group) & 1 == 0 {
          if best < 0 || values[group] > values[best] { best = group }
        }
        kept |= 1 << UInt64(best)
      }
      return kept
    }
  }

  /// Scores that stand apart as shares of a whole.
  private func makeDistribution(_ scores: UnsafeMutablePointer<Float>) {
    var sum: Float = 0
    for expert in 0..<expertCount { sum += scores[expert] }
    guard sum > 0 else { return }
    for expert in 0..<expertCount { scores[expert] /= sum }
  }

  /// The best expert and the best of the others, each weighed by a softmax over the experts near
  /// it: those within 2 · jitter, relative to the larger of the best and their own magnitude.
  private func mixSparsely(
    _ logits: UnsafePointer<Float>, indices: UnsafeMutablePointer<Int32>,
    weights: UnsafeMutablePointer<Float>
  ) {
    var taken = -1
    for at in 0..<2 {
      var best = -1
      for expert in 0..<expertCount where expert != taken {
        if best < 0 || logits[expert] > logits[best] { best = expert }
      }
      let most = logits[best]
      var sum: Float = 0
      for expert in 0..<expertCount where expert != taken {
        let logit = logits[expert]
        if (most - logit) / max(abs(logit), most) <= 2 * jitter { sum += expf(logit - most) }
      }
      indices[at] = Int32(best)
      weights[at] = 1 / sum
      taken = best
    }
    if weights[1] > weights[0] {
      swap(&weights[0], &weights[1])
      swap(&indices[0], &indices[1])
    }
  }
}
