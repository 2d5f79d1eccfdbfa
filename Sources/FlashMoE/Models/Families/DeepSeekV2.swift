import Checkpoints
import Support

/// DeepSeek-V2 (Lite 16B-A2.4B, V2 236B-A21B): attention over a compressed cache, softmax routing,
/// within the best groups in the large one, shared experts, dense first layers.
///
/// Follows `transformers`' `modeling_deepseek_v2.py`, which ignores `norm_topk_prob`.
public enum DeepSeekV2: ModelFamily {
  public static let modelTypes = ["deepseek_v2"]
  public static let ggufArchitectures = ["deepseek2"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 2048)
    try common.requireSiLU()
    let reader = common.reader
    try reader.require("scoring_func", isOneOf: ["softmax"], default: "softmax")
    let method = try reader.string("topk_method") ?? "greedy"
    try reader.require(
      "topk_method", isOneOf: ["greedy", "group_limited_greedy"], default: "greedy")
    let count = try common.expertCount(["n_routed_experts", "num_experts", "num_local_experts"])
    var routing = ModelConfiguration.Routing(.softmax, normalizes: false)
    routing.scale = Float(try reader.number("routed_scaling_factor", default: 1))
    if method == "group_limited_greedy" {
      routing.groups = try common.groups(experts: count, score: .best)
    }
    return try common.deepSeek("deepseek_v2", routing: routing, count: count)
  }

  /// llama.cpp has one name for V2 and V3; how experts are scored tells them apart.
  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    let isLater = try model.integer("expert_gating_func", default: 1) == 2
    var config = try model.deepSeekConfig(
      modelType: isLater ? "deepseek_v3" : "deepseek_v2",
      class: isLater ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM")
    if !isLater, (config["n_group"]?.integer ?? 1) > 1 {
      config["topk_method"] = .string("group_limited_greedy")
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration, names: .deepSeek, form: form,
      unused: CatalogBuilder.laterLayers(configuration, form))
  }
}
