import Glibc
import TestSupport
import Testing

@testable import FlashMoE

/// Every routing rule against a few plain lines that sort everything.
@Suite struct RouterTests {
  typealias Routing = ModelConfiguration.Routing

  private func softmax(_ x: [Double]) -> [Double] {
    let greatest = x.max() ?? 0
    let e = x.map { exp($0 - greatest) }
    return e.map { $0 / e.reduce(0, +) }
  }

  /// Chosen experts with their weights.
  private func reference(
    _ logits: [Double], _ experts: ModelConfiguration.Experts, correction: [Double]?
  ) -> [Int: Double] {
    let (routing, k) = (experts.routing, experts.perToken)
    if case .sparseMixer(let jitter) = routing.rule {
      return mixed(logits, jitter: Double(jitter))
    }
    func best(_ values: [Double], _ count: Int) -> [Int] {
      Array(values.indices.sorted { (values[$1], $0) < (values[$0], $1) }.prefix(count))
    }
    if routing.rule == .softmaxOfChosen {
      let chosen = best(logits, k)
      return Dictionary(uniqueKeysWithValues: zip(chosen, softmax(chosen.map { logits[$0] })))
    }
    let scores =
      routing.rule == .sigmoid ? logits.map { 1 / (1 + exp(-$0)) } : softmax(logits)
    var selection = scores.indices.map { scores[$0] + (correction?[$0] ?? 0) }
    if let groups = routing.groups {
      let size = logits.count / groups.count
      let values = (0..<groups.count).map { group -> Double in
        let own = selection[group * size..<(group + 1) * size].sorted(by: >)
        return groups.score == .best ? own[0] : own[0] + own[1]
      }
      let kept = Set(best(values, groups.kept))
      for expert in selection.indices where !kept.contains(expert / size) {
        selection[expert] = -.infinity
      }
    }
    let chosen = best(selection, k)
    var weights = chosen.map { scores[$0] }
    if routing.normalizes {
      let sum = weights.reduce(0, +)
      weights = weights.map { $0 / sum }
    }
    return Dictionary(
      uniqueKeysWithValues: zip(chosen, weights.map { $0 * Double(routing.scale) }))
  }

  private func mixed(_ logits: [Double], jitter: Double) -> [Int: Double] {
    var left = Set(logits.indices)
    var result: [Int: Double] = [:]
    for _ in 0..<2 {
      guard let best = left.max(by: { (logits[$0], $1) < (logits[$1], $0) }) else { break }
      let near = left.filter {
        (logits[best] - logits[$0]) / max(abs(logits[$0]), logits[best]) <= 2 * jitter
      }
      let sum = near.reduce(0.0) { $0 + exp(logits[$1] - logits[best]) }
      result[best] = 1 / sum
      left.remove(best)
    }
    return result
  }

  private static let rules: [Routing] = {
    var rules = [
      Routing(.softmax, normalizes: false), Routing(.softmax, normalizes: true),
      Routing(.softmaxOfChosen, normalizes: false),
      Routing(.sparseMixer(jitter: 0.01), normalizes: false),
      Routing(.sparseMixer(jitter: 0.2), normalizes: false),
    ]
    for (rule, score) in [
      (Routing.Rule.sigmoid, Routing.Groups.Score.sumOfBestTwo), (.softmax, .best),
    ] {
      for (count, kept) in [(1, 1), (4, 2), (8, 3), (2, 1)] {
        var routing = Routing(rule, normalizes: rule == .sigmoid)
        routing.scale = 2.5
        routing.hasCorrection = rule == .sigmoid
        if count > 1 { routing.groups = Routing.Groups(count: count, kept: kept, score: score) }
        rules.append(routing)
      }
    }
    return rules
  }()

  @Test(arguments: 0..<rules.count) func agreesWithSorting(rule: Int) throws {
    let routing = Self.rules[rule]
    var random = SeededRandom(seed: UInt64(rule) + 7)
    let kernels = try Kernels(level: nil)
    for count in [8, 16, 24, 64, 256] {
      var perToken = [1, 2, 3, 8][random.below(4)]
      if case .sparseMixer = routing.rule { perToken = 2 }
      if let groups = routing.groups {
        if count / groups.count < 2 { continue }
        perToken = min(perToken, groups.kept * (count / groups.count))
      }
      let experts = ModelConfiguration.Experts(
        count: count, perToken: perToken, inner: 1, routing: routing)
      let router = Router(experts)
      for _ in 0..<40 {
        let logits = (0..<count).map { _ in Float.random(in: -3...3, using: &random) }
        let correction =
          routing.hasCorrection
          ? (0..<count).map { _ in Float.random(in: -0.4...0.4, using: &random) } : nil
        var buffer = logits
        var indices = [Int32](repeating: -1, count: perToken)
        var weights = [Float](repeating: .nan, count: perToken)
        buffer.withUnsafeMutableBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return }
          if let correction {
            correction.withUnsafeBufferPointer {
              router.choose(
                base, correction: $0.baseAddress, kernels: kernels, indices: &indices,
                weights: &weights)
            }
          } else {
            router.choose(
              base, correction: nil, kernels: kernels, indices: &indices, weights: &weights)
          }
        }
        let want = reference(
          logits.map { Double($0) }, experts, correction: correction?.map { Double($0) })
        #expect(Set(indices.map { Int($0) }) == Set(want.keys))
        for (expert, weight) in zip(indices, weights) {
          #expect(abs(Double(weight) - (want[Int(expert)] ?? -1)) < 1e-5)
        }
        #expect(weights == weights.sorted(by: >))
        // What is left for predictors is a distribution.
        #expect(abs(buffer.reduce(0, +) - 1) < 1e-4)
      }
    }
  }

  /// Equal logits: the lower number wins.
  @Test func tiesGoToTheLowerNumber() throws {
    let kernels = try Kernels(level: nil)
    for routing in Self.rules where routing.groups == nil {
      let router = Router(
        ModelConfiguration.Experts(count: 12, perToken: 2, inner: 1, routing: routing))
      var logits = [Float](repeating: 0.5, count: 12)
      var indices = [Int32](repeating: -1, count: 2)
      var weights = [Float](repeating: 0, count: 2)
      router.choose(
        &logits, correction: nil, kernels: kernels, indices: &indices, weights: &weights)
      #expect(Set(indices) == [0, 1])
    }
  }
}
