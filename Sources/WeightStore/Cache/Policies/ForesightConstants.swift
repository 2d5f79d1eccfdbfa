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

  static let rateCount = 3
  static let closenessCount = 3
  /// The rate that says how often a record is usually chosen.
  static let usualRate = 1

  /// Of having been chosen.
  var rates: [Term]
  /// Of how close a record came to being chosen.
  var closenesses: [Term]
  /// By the difference in codes to the last chosen expert, + 255.
  var closenessOfMargin: [Float]
  /// How much a use at the token after is worth less.
  var discount: Float
  var learningRate: Float
  /// Of what was chosen one, two, … tokens after an earlier place of the present token.
  var repetitions: [Float]
  /// So many places that say nothing are added to those that were found.
  var repetitionDoubt: Float
  /// Octaves of value that a token of waiting costs.
  var urgency: Double
  /// Values below are told apart on a linear scale: a logarithm has no place for zero.
  var leastValue: Float

  /// - Parameter cachedTokens: slots for one token's experts of all layers that the cache has.  A
  ///   record stays longer in a larger one, and so its later uses count more.
  public init(cachedTokens: Double) {
    let halfLifeTokens = min(max(1, 0.7 + 0.7 * cachedTokens), 4.4)
    discount = Float(exp2(-1 / halfLifeTokens))
    rates = [Term(8, -0.14), Term(128, 0.66), Term(512, -0.02)]
    closenesses = [Term(0, 0.01), Term(8, 0.2), Term(128, -0.13)]
    closenessOfMargin = Self.sigmoid(slope: 8, offset: 0.7)
    learningRate = 0.008
    let first = 0.03 + 0.45 * (1 - discount)
    repetitions = [first, 0.55 * first, 0.25 * first]
    repetitionDoubt = 2
    urgency = 0.6
    leastValue = 0.015
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
