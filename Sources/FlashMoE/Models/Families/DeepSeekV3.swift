import Checkpoints
import Support

/// DeepSeek-V3 and R1 (671B-A37B), and Kimi-K2 (1T-A32B), which has the same layers: sigmoid routing
/// with a correction that only selects, within the groups whose best two experts are best.
///
/// Follows `transformers`' `modeling_deepseek_v3.py`.
public enum DeepSeekV3: ModelFamily {
  public static let modelTypes = ["deepseek_v3", "kimi_k2"]
  public static let ggufArchitectures: [String] = []

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 4096)
    try common.requireSiLU()
    let reader = common.reader
    try reader.require("scoring_func", isOneOf: ["sigmoid"], default: "sigmoid")
    let count = try common.expertCount(["n_routed_experts", "num_experts", "num_local_experts"])
    var routing = ModelConfiguration.Routing(
      .sigmoid, normalizes: try reader.flag("norm_topk_prob", default: true))
    routing.scale = Float(try reader.number("routed_scaling_factor", default: 2.5))
    routing.hasCorrection = true
    routing.groups = try common.groups(experts: count, score: .sumOfBestTwo)
    return try common.deepSeek(
      try reader.string("model_type") ?? "deepseek_v3", routing: routing, count: count)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    try DeepSeekV2.config(fromGGUF: model)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    DeepSeekV2.catalog(configuration, form: form)
  }
}
