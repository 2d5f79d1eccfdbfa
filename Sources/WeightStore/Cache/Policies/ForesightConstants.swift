import Glibc

/// What `Foresight` weighs how; chosen on traces of other texts than those it is reported on.
public struct ForesightConstants: Sendable {
  /// A decayed mean and its share in the estimate.
  struct Term: Sendable {
    /// What a token moves the mean by.
    var step: Float
    var weight: Float

    /// - Parameter halfLifeTokens: 0 takes the last token alone.
    init(_ halfLifeTokens: Double, _ weight: Double) {
      step = halfLifeTokens == 0 ? 1 : Float(1 - exp2(-1 / halfLifeTokens))
      self.weight = Float(weight)
    }
  }

  static let rateCount = 5
  static let closenessCount = 3

  /// Of having been chosen.
  var rates: [Term]
  /// Of how close a record came to being chosen.
  var closenesses: [Term]
  /// By the difference in codes to the last chosen expert, + 255.
  var closenessOfMargin: [Float]
  /// How much a use at the token after is worth less.
  var discount: Float
  var ownLearningRate: Float
  var previousLearningRate: Float
  /// Octaves of value that a token of waiting costs.
  var urgency: Double
  /// Values below are told apart on a linear scale: a logarithm has no place for zero.
  var leastValue: Float

  public init() {
    rates = [
      Term(2, 0.042), Term(8, -0.183), Term(32, 0.053), Term(128, 0.656), Term(512, -0.1),
    ]
    closenesses = [Term(0, 0.05), Term(8, 0.2), Term(128, -0.1)]
    closenessOfMargin = Self.sigmoid(slope: 8, offset: 0.7)
    discount = Float(exp2(-1 / 4.0))
    ownLearningRate = 0.012
    previousLearningRate = 0.008
    urgency = 0.5
    leastValue = 0.01
  }

  /// - Parameter slope: of an octave of probability.
  static func sigmoid(slope: Double, offset: Double) -> [Float] {
    (-255...255).map { Float(1 / (1 + exp(-(Double($0) / 16 * slope + offset)))) }
  }

  /// Its logarithm, linear below `leastValue` and between powers of two.
  @inline(__always)
  func worth(ofValue value: Float) -> Float {
    let bounded = max(value, leastValue)
    let logarithm = Float(Int32(bitPattern: bounded.bitPattern)) * 0x1p-23 - 127
    return logarithm + min(value - leastValue, 0) / (leastValue * 0.693_147_2)
  }
}
