import Glibc
import Support

/// Rotary position embedding (Su et al., 2021) with the context extensions checkpoints use.
///
/// Angles follow `transformers`' `modeling_rope_utils`: inverse frequencies in f32, then
/// position × frequency in f32, so that long contexts round the way the reference does.
///
/// Two scalings depend on how long a text is.  Keys in the cache cannot be rotated anew when a text
/// grows, and a token's numbers must not depend on how its prompt was cut, so the *context length*
/// an engine is built with decides for all its texts.
public struct RotaryEmbedding: Sendable, Equatable {
  /// Which two dimensions are rotated together.
  public enum Pairing: Sendable, Equatable {
    /// i and i + dimension / 2.
    case halves
    /// 2 i and 2 i + 1.
    case neighbours
  }

  public enum Scaling: Sendable, Equatable {
    case none
    /// Positions divided by a factor (Chen et al., 2023).
    case linear(factor: Double)
    /// A larger base in contexts beyond the original one.
    case dynamic(factor: Double, original: Int)
    /// YaRN (Peng et al., 2023).
    case yarn(YaRN)
    /// Llama 3.1's three-band scaling.
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)
    /// A factor a frequency (Ding et al., 2024).
    case longRoPE(LongRoPE)
  }

  public struct YaRN: Sendable, Equatable {
    public var factor: Double
    public var betaFast: Double
    public var betaSlow: Double
    public var original: Int
    public var attentionFactor: Double
    public var truncates: Bool
  }

  public struct LongRoPE: Sendable, Equatable {
    /// One divisor a frequency, for contexts up to `original` and beyond.
    public var short: [Double]
    public var long: [Double]
    public var shortAttentionFactor: Double
    public var longAttentionFactor: Double
    public var original: Int
  }

  public var base: Double
  /// Rotated dimensions of a head, an even number; the others stay as they are.
  public var dimension: Int
  public var pairing = Pairing.halves
  public var scaling: Scaling

  public init(base: Double, dimension: Int, scaling: Scaling = .none) {
    self.base = base
    self.dimension = dimension
    self.scaling = scaling
  }

  /// What cosines and sines are multiplied by.
  public func attentionFactor(contextLength: Int = 0) -> Float {
    switch scaling {
    case .yarn(let yarn): Float(yarn.attentionFactor)
    case .longRoPE(let scaling):
      Float(
        contextLength > scaling.original
          ? scaling.longAttentionFactor : scaling.shortAttentionFactor)
    default: 1
    }
  }

  /// One angular frequency for each pair of dimensions, `dimension / 2` values.
  public func inverseFrequencies(contextLength: Int = 0) -> [Float] {
    switch scaling {
    case .none: return plain(base)
    case .linear(let factor): return plain(base).map { $0 / Float(factor) }
    case .dynamic(let factor, let original):
      guard contextLength > original, dimension > 2 else { return plain(base) }
      let stretch = factor * Double(contextLength) / Double(original) - (factor - 1)
      return plain(base * pow(stretch, Double(dimension) / Double(dimension - 2)))
    case .yarn(let yarn): return interpolated(plain(base), yarn)
    case .llama3(let factor, let low, let high, let original):
      return plain(base).map {
        Self.llama3($0, factor: factor, low: low, high: high, original: Double(original))
      }
    case .longRoPE(let scaling):
      let factors = contextLength > scaling.original ? scaling.long : scaling.short
      return factors.enumerated().map { pair, factor in
        1 / (Float(factor) * powf(Float(base), Float(2 * pair) / Float(dimension)))
      }
    }
  }

  private func plain(_ base: Double) -> [Float] {
    (0..<dimension / 2).map { pair in
      Float(1) / powf(Float(base), Float(2 * pair) / Float(dimension))
    }
  }

  /// Frequencies that turn often enough in the original context stay; slow ones are divided.
  private func interpolated(_ plain: [Float], _ yarn: YaRN) -> [Float] {
    func correction(_ rotations: Double) -> Double {
      Double(dimension) * log(Double(yarn.original) / (rotations * 2 * Double.pi))
        / (2 * log(base))
    }
    var low = correction(yarn.betaFast)
    var high = correction(yarn.betaSlow)
    if yarn.truncates {
      low = low.rounded(.down)
      high = high.rounded(.up)
    }
    low = max(low, 0)
    high = min(high, Double(dimension - 1))
    if low == high { high += 0.001 }
    return plain.enumerated().map { pair, frequency in
      let ramp = Float(min(max((Double(pair) - low) / (high - low), 0), 1))
      let keep = 1 - ramp
      return frequency / Float(yarn.factor) * (1 - keep) + frequency * keep
    }
  }

  private static func llama3(
    _ frequency: Float, factor: Double, low: Double, high: Double, original: Double
  ) -> Float {
    let wavelength = 2 * Double.pi / Double(frequency)
    if wavelength < original / high { return frequency }
    if wavelength > original / low { return Float(Double(frequency) / factor) }
    let smooth = (original / wavelength - low) / (high - low)
    return Float((1 - smooth) * Double(frequency) / factor + smooth * Double(frequency))
  }

  /// The longest context the scaling is made for, where `maximum` is what the configuration says.
  ///
  /// Users add a scaling to a configuration without changing `max_position_embeddings`.
  public func maximumPositions(_ maximum: Int) -> Int {
    let (factor, original): (Double, Int)
    switch scaling {
    case .yarn(let yarn): (factor, original) = (yarn.factor, yarn.original)
    case .dynamic(let scale, let length): (factor, original) = (scale, length)
    default: return maximum
    }
    return max(maximum, Int(min(factor * Double(original), Double(1 << 26))))
  }
}
