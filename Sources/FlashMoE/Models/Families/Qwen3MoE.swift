import Checkpoints
import Support

/// Qwen3-MoE (Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder-30B): grouped-query attention with
/// per-head q/k norms, softmax routing over all experts, no shared expert.
///
/// Follows `transformers`' `modeling_qwen3_moe.py`.
public enum Qwen3MoE: ModelFamily {
  public static let modelTypes = ["qwen3_moe"]
  public static let ggufArchitectures = ["qwen3moe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_experts", "num_local_experts"])
    var attention = try common.attention()
    attention.headNorms = .each
    attention.biases = try reader.flag("attention_bias", default: false) ? .all : .none
    let firstWindowed = try reader.integer("max_window_layers", in: 0...4096, default: 28)
    let usesWindow = try reader.flag("use_sliding_window", default: false)
    return try common.configuration(
      "qwen3_moe",
      mixers: try common.attentions(attention, window: usesWindow ? try common.window() : nil) {
        $0 >= firstWindowed
      },
      feedForwards: try common.steppedFeedForwards(),
      experts: try common.experts(
        count: count, innerKey: "moe_intermediate_size",
        routing: ModelConfiguration.Routing(
          .softmax, normalizes: try reader.flag("norm_topk_prob", default: false))))
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "qwen3_moe", class: "Qwen3MoeForCausalLM", expertKey: "num_experts",
      innerKey: "moe_intermediate_size")
    config["norm_topk_prob"] = .bool(true)
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(configuration, names: TensorNames(), form: form)
  }
}
