import Checkpoints
import Support

/// Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B): biases on q, k and v, and a shared expert whose
/// output a learned gate scales.
///
/// Follows `transformers`' `modeling_qwen2_moe.py`.
public enum Qwen2MoE: ModelFamily {
  public static let modelTypes = ["qwen2_moe"]
  public static let ggufArchitectures = ["qwen2moe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_experts", "num_local_experts"])
    var attention = try common.attention()
    attention.biases = try reader.flag("qkv_bias", default: true) ? .queryKeyValue : .none
    let firstWindowed = try reader.integer("max_window_layers", in: 0...4096, default: 28)
    let usesWindow = try reader.flag("use_sliding_window", default: false)
    var experts = try common.experts(
      count: count, innerKey: "moe_intermediate_size",
      routing: ModelConfiguration.Routing(
        .softmax, normalizes: try reader.flag("norm_topk_prob", default: false)))
    experts.shared = ModelConfiguration.Experts.Shared(
      inner: try reader.integer("shared_expert_intermediate_size"), isGated: true)
    return try common.configuration(
      "qwen2_moe",
      mixers: try common.attentions(attention, window: usesWindow ? try common.window() : nil) {
        $0 >= firstWindowed
      },
      feedForwards: try common.steppedFeedForwards(), experts: experts)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "qwen2_moe", class: "Qwen2MoeForCausalLM", expertKey: "num_experts",
      innerKey: "moe_intermediate_size")
    config["norm_topk_prob"] = .bool(false)
    config["qkv_bias"] = .bool(model.tensors["blk.0.attn_q.bias"] != nil)
    if let shared = model.tensors["blk.0.ffn_gate_shexp.weight"], shared.shape.count == 2 {
      config["shared_expert_intermediate_size"] = .integer(shared.shape[0])
    } else {
      config["shared_expert_intermediate_size"] = .integer(
        try model.integer("expert_shared_feed_forward_length"))
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(configuration, names: TensorNames(), form: form)
  }
}
