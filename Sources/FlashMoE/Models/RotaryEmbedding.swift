import Glibc
import Support

/// Rotary position embedding (Su et al., 2021) with the context extensions checkpoints use.
///
/// Angles follow `transformers`' `modeling_rope_utils`: inverse frequencies in f32, then
/// position × frequency in f32, so that long contexts round the way the reference does.
public struct RotaryEmbedding: Sendable, Equatable {
  public enum Scaling: Sendable, Equatable {
    case none
    /// Positions divided by a factor (Chen et al., 2023).
    case linear(factor: Double)
    /// YaRN (Peng et al., 2023).
    case yarn(YaRN)
    /// Llama 3.1's three-band scaling.
    case llama3(factor: Double, lowFrequency: Double, highFrequency: Double, original: Int)
  }

  public struct YaRN: Sendable, Equatable {
    public var factor: Double
    public var betaFast: Double
    public var betaSlow: Double
    public var original: Int
    public var attentionFactor: Double
    public var truncates: Bool
  }

  public var base: Double
  /// Rotated dimensions of a head, an even number.
  public var dimension: Int
  public var scaling: Scaling

  /// What cosines and sines are multiplied by.
  public var attentionFactor: Float {
    if case .yarn(let yarn) = scaling { return Float(yarn.attentionFactor) }
    return 1
  }

  /// One angular frequency for each pair of dimensions, `dimension / 2` values.
  public func inverseFrequencies() -> [Float] {
    let plain = (0..<dimension / 2).map { pair in
      Float(1) / powf(Float(base), Float(2 * pair) / Float(dimension))
    }
    switch scaling {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .yarn(let yarn): return interpolated(plain, yarn)
    case .llama3(let factor, let low, let high, let original):
      return plain.map {
        Self.llama3($0, factor: factor, low: low, high: high, original: Double(original))
      }
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
}

extension RotaryEmbedding {
  /// Reads `rope_theta`/`rope_scaling` (published form) or `rope_parameters` (transformers 5).
  static func read(_ reader: ConfigurationReader, dimension: Int, maximumPositions: Int)
    throws(Failure) -> RotaryEmbedding
  {
    let nested = reader.value(["rope_parameters"]) ?? reader.value(["rope_scaling"])
    if let nested, nested.object == nil {
      throw reader.failure("rope_scaling", "must be an object or null")
    }
    let scaling = ConfigurationReader(
      root: nested ?? .object([:]), subject: reader.subject + ", rope_scaling")
    let published = try reader.number("rope_theta", default: 10000)
    let base = try scaling.number("rope_theta", default: published)
    guard base > 1 else { throw reader.failure("rope_theta", "must be greater than 1") }
    guard dimension >= 2, dimension % 2 == 0 else {
      throw reader.failure("head_dim", "the rotated dimensions must be an even number")
    }
    let legacyKind = try scaling.string("type")
    let kind = try scaling.string("rope_type") ?? legacyKind ?? "default"
    let original = try scaling.integer(
      "original_max_position_embeddings", default: maximumPositions)
    return RotaryEmbedding(
      base: base, dimension: dimension,
      scaling: try readScaling(kind, scaling, original: original, maximum: maximumPositions))
  }

  private static func readScaling(
    _ kind: String, _ reader: ConfigurationReader, original: Int, maximum: Int
  ) throws(Failure) -> Scaling {
    func factor() throws(Failure) -> Double {
      let factor = try reader.number("factor")
      guard factor >= 1 else { throw reader.failure("factor", "must be at least 1") }
      return factor
    }
    switch kind {
    case "default": return .none
    case "linear": return .linear(factor: try factor())
    case "yarn":
      let factor = try factor()
      return .yarn(
        YaRN(
          factor: factor, betaFast: try reader.number("beta_fast", default: 32),
          betaSlow: try reader.number("beta_slow", default: 1), original: original,
          attentionFactor: try yarnAttentionFactor(reader, factor: factor),
          truncates: try reader.flag("truncate", default: true)))
    case "llama3":
      return .llama3(
        factor: try factor(), lowFrequency: try reader.number("low_freq_factor"),
        highFrequency: try reader.number("high_freq_factor"), original: original)
    default:
      throw reader.unsupported(
        "rope_type", "\"\(kind)\" is not supported (known: default, linear, yarn, llama3)")
    }
  }

  /// The paper's 0.1 ln(s) + 1 unless the configuration says otherwise.
  private static func yarnAttentionFactor(_ reader: ConfigurationReader, factor: Double)
    throws(Failure) -> Double
  {
    func magnitude(_ scale: Double) -> Double {
      factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
    }
    if reader.value(["attention_factor"]) != nil { return try reader.number("attention_factor") }
    let one = try reader.number("mscale", default: 0)
    let all = try reader.number("mscale_all_dim", default: 0)
    if one != 0, all != 0 { return magnitude(one) / magnitude(all) }
    return magnitude(1)
  }
}
