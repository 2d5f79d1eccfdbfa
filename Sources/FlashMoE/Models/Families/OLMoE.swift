import Checkpoints
import Support

/// OLMoE (1B-7B): q and k are normalized over all heads at once; the chosen experts' weights are
/// not scaled to one.
///
/// Follows `transformers`' `modeling_olmoe.py`.
public enum OLMoE: ModelFamily {
  public static let modelTypes = ["olmoe"]
  public static let ggufArchitectures = ["olmoe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 4096)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_experts", "num_local_experts"])
    var attention = try common.attention()
    attention.headNorms = .together
    attention.biases = try reader.flag("attention_bias", default: false) ? .all : .none
    if reader.value(["clip_qkv"]) != nil {
      let clip = try reader.number("clip_qkv")
      guard clip > 0 else { throw reader.failure("clip_qkv", "must be above zero") }
      attention.clip = Float(clip)
    }
    return try common.configuration(
      "olmoe", mixers: Array(repeating: .attention(attention), count: common.layers),
      feedForwards: Array(repeating: .experts, count: common.layers),
      experts: try common.experts(
        count: count, innerKey: "intermediate_size",
        routing: ModelConfiguration.Routing(
          .softmax, normalizes: try reader.flag("norm_topk_prob", default: false))),
      epsilon: 1e-5)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "olmoe", class: "OlmoeForCausalLM", expertKey: "num_experts",
      innerKey: "intermediate_size")
    config["norm_topk_prob"] = .bool(false)
    if model.has("attention.clamp_kqv") {
      config["clip_qkv"] = .number(try model.number("attention.clamp_kqv"))
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(configuration, names: TensorNames(), form: form)
  }
}
