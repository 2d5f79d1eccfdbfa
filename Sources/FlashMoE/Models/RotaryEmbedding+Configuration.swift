import Glibc
import Support

extension RotaryEmbedding {
  /// The object that holds the scaling: `rope_parameters` (transformers 5) or `rope_scaling`.
  static func parameters(_ reader: ConfigurationReader) throws(Failure) -> ConfigurationReader {
    let nested = reader.value(["rope_parameters"]) ?? reader.value(["rope_scaling"])
    if let nested, nested.object == nil {
      throw reader.failure("rope_scaling", "must be an object or null")
    }
    return ConfigurationReader(
      root: nested ?? .object([:]), subject: reader.subject + ", rope_scaling")
  }

  /// Rotated dimensions of a head where a configuration may rotate only its first part.
  static func dimension(_ reader: ConfigurationReader, of headDimension: Int, share: Double = 1)
    throws(Failure) -> Int
  {
    let published = try reader.number("partial_rotary_factor", default: share)
    let share = try parameters(reader).number("partial_rotary_factor", default: published)
    guard share > 0, share <= 1 else {
      throw reader.failure("partial_rotary_factor", "must be above 0 and at most 1")
    }
    return Int(Double(headDimension) * share)
  }

  /// Reads `rope_theta`/`rope_scaling` (published form) or `rope_parameters` (transformers 5).
  static func read(
    _ reader: ConfigurationReader, dimension: Int, maximumPositions: Int,
    base defaultBase: Double = 10000
  ) throws(Failure) -> RotaryEmbedding {
    let scaling = try parameters(reader)
    let published = try reader.number("rope_theta", default: defaultBase)
    let base = try scaling.number("rope_theta", default: published)
    guard base > 1 else { throw reader.failure("rope_theta", "must be greater than 1") }
    guard dimension >= 2, dimension % 2 == 0 else {
      throw reader.failure("head_dim", "the rotated dimensions must be an even number")
    }
    let legacyKind = try scaling.string("type")
    let kind = try scaling.string("rope_type") ?? legacyKind ?? "default"
    // Phi's configurations have it beside the scaling as well.
    let outer = try reader.integer("original_max_position_embeddings", default: maximumPositions)
    let original = try scaling.integer("original_max_position_embeddings", default: outer)
    return RotaryEmbedding(
      base: base, dimension: dimension,
      scaling: try readScaling(
        kind, scaling, dimension: dimension, original: original, maximum: maximumPositions))
  }

  private static func readScaling(
    _ kind: String, _ reader: ConfigurationReader, dimension: Int, original: Int, maximum: Int
  ) throws(Failure) -> Scaling {
    func factor(default fallback: Double? = nil) throws(Failure) -> Double {
      let factor = try reader.number("factor", default: fallback)
      guard factor >= 1 else { throw reader.failure("factor", "must be at least 1") }
      return factor
    }
    let ratio = max(1, Double(maximum) / Double(original))
    switch kind {
    case "default": return .none
    case "linear": return .linear(factor: try factor())
    case "dynamic": return .dynamic(factor: try factor(), original: original)
    case "yarn":
      let factor = try factor(default: original < maximum ? ratio : nil)
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
    case "longrope", "su":
      return .longRoPE(
        try readLongRoPE(
          reader, pairs: dimension / 2, original: original, factor: try factor(default: ratio)))
    default:
      throw reader.unsupported(
        "rope_type",
        "\"\(kind)\" is not supported (known: default, linear, dynamic, yarn, llama3, longrope)")
    }
  }

  /// The paper's 0.1 ln(s) + 1 unless the configuration says otherwise.
  private static func yarnAttentionFactor(_ reader: ConfigurationReader, factor: Double)
    throws(Failure) -> Double
  {
    if reader.value(["attention_factor"]) != nil { return try reader.number("attention_factor") }
    let one = try reader.number("mscale", default: 0)
    let all = try reader.number("mscale_all_dim", default: 0)
    if one != 0, all != 0 {
      return yarnMagnitude(factor, scale: one) / yarnMagnitude(factor, scale: all)
    }
    return yarnMagnitude(factor, scale: 1)
  }

  /// DeepSeek's `yarn_get_mscale`.
  static func yarnMagnitude(_ factor: Double, scale: Double) -> Double {
    factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1
  }

  private static func readLongRoPE(
    _ reader: ConfigurationReader, pairs: Int, original: Int, factor: Double
  ) throws(Failure) -> LongRoPE {
    func factors(_ key: String) throws(Failure) -> [Double] {
      let values = try reader.numbers(key)
      guard values.count == pairs, values.allSatisfy({ $0 > 0 }) else {
        throw reader.failure(key, "must hold \(pairs) positive numbers, one a frequency")
      }
      return values
    }
    let usual =
      factor <= 1 || original < 2 ? 1 : (1 + log(factor) / log(Double(original))).squareRoot()
    let magnitude = try reader.number("attention_factor", default: usual)
    return LongRoPE(
      short: try factors("short_factor"), long: try factors("long_factor"),
      shortAttentionFactor: try reader.number("short_mscale", default: magnitude),
      longAttentionFactor: try reader.number("long_mscale", default: magnitude),
      original: original)
  }
}
