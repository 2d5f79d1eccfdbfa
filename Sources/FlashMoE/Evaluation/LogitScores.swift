import Glibc

/// Log-softmax of one row of logits, in double precision.
///
/// `log p(i) = logits[i] - logSum`.
struct LogSoftmax {
  let logits: UnsafePointer<Float>
  let count: Int
  /// log Σ exp(logits)
  let logSum: Double
  /// The first of the largest logits.
  let best: Int

  /// - Parameter exponentials: [count] filled with exp(logits - maximum) when it is given.
  init(
    _ logits: UnsafePointer<Float>, count: Int, exponentials: UnsafeMutablePointer<Double>? = nil
  ) {
    var best = 0
    for index in 1..<max(count, 1) where logits[index] > logits[best] { best = index }
    let maximum = Double(logits[best])
    var sum = 0.0
    if let exponentials {
      for index in 0..<count {
        let value = exp(Double(logits[index]) - maximum)
        exponentials[index] = value
        sum += value
      }
    } else {
      for index in 0..<count { sum += exp(Double(logits[index]) - maximum) }
    }
    self.logits = logits
    self.count = count
    self.best = best
    logSum = maximum + log(sum)
  }

  /// -log p(token), in nats.
  func negativeLogLikelihood(_ token: Int32) -> Double { logSum - Double(logits[Int(token)]) }

  /// KL(self ‖ other) = Σ p (log p − log q), in nats.
  ///
  /// - Parameter exponentials: what `init` filled for self.
  func divergence(to other: LogSoftmax, exponentials: UnsafePointer<Double>) -> Double {
    var (sum, total) = (0.0, 0.0)
    for index in 0..<count {
      sum += exponentials[index] * (Double(logits[index]) - Double(other.logits[index]))
      total += exponentials[index]
    }
    // Never negative but for rounding.
    return max(sum / total - logSum + other.logSum, 0)
  }
}
