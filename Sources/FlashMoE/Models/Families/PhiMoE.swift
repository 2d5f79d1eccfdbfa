import Checkpoints
import Support

/// Phi-3.5-MoE: LayerNorm with biases, biases everywhere, a sparse mixer that always takes two
/// experts, and LongRoPE.
///
/// Follows `transformers`' `modeling_phimoe.py`.
public enum PhiMoE: ModelFamily {
  public static let modelTypes = ["phimoe"]
  public static let ggufArchitectures = ["phimoe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 131072)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_local_experts", "num_experts"])
    guard count >= 2 else { throw reader.failure("num_local_experts", "must be at least 2") }
    var attention = try common.attention(base: 1_000_000)
    attention.biases = try reader.flag("attention_bias", default: false) ? .all : .none
    let jitter = try reader.number("router_jitter_noise", default: 0.01)
    var configuration = try common.configuration(
      "phimoe",
      mixers: try common.attentions(attention, window: try common.window()) { _ in true },
      feedForwards: Array(repeating: .experts, count: common.layers),
      // The reference takes two whatever num_experts_per_tok says.
      experts: try common.experts(
        count: count, innerKey: "intermediate_size",
        routing: ModelConfiguration.Routing(
          .sparseMixer(jitter: Float(jitter)), normalizes: false), perToken: 2),
      norm: .layer, epsilon: 1e-5)
    configuration.headHasBias = try reader.flag("lm_head_bias", default: false)
    return configuration
  }

  /// `short_mscale` and `long_mscale` of all published models.  GGUF files hold the factor that
  /// follows from the context lengths instead, 1.19, which the weights were not trained with.
  private static let publishedMagnitude = 1.243163121016122

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "phimoe", class: "PhiMoEForCausalLM", expertKey: "num_local_experts",
      innerKey: "intermediate_size")
    config["attention_bias"] = .bool(model.tensors["blk.0.attn_q.bias"] != nil)
    config["lm_head_bias"] = .bool(model.tensors["output.bias"] != nil)
    config["router_jitter_noise"] = .number(0.01)
    if let short = try model.floats("rope_factors_short.weight"),
      let long = try model.floats("rope_factors_long.weight")
    {
      config["rope_scaling"] = .object([
        "type": .string("longrope"),
        "short_factor": .array(short.map { .number($0) }),
        "long_factor": .array(long.map { .number($0) }),
        "short_mscale": .number(publishedMagnitude),
        "long_mscale": .number(publishedMagnitude),
        "original_max_position_embeddings": .integer(
          try model.integer("rope.scaling.original_context_length", default: 4096)),
      ])
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        published: ["mlp.gate.weight": "block_sparse_moe.gate.weight"],
        experts: .each(
          prefix: "block_sparse_moe.experts", gate: "w1.weight", up: "w3.weight", down: "w2.weight")
      ), form: form)
  }
}
