import Checkpoints
import Support

/// GLM-4.5 and 4.6 (355B-A32B, Air 106B-A12B): half of each head is rotated, sigmoid routing with a
/// correction bias that only selects, a shared expert, dense first layers.
///
/// Follows `transformers`' `modeling_glm4_moe.py`.
public enum GLM4MoE: ModelFamily {
  public static let modelTypes = ["glm4_moe"]
  public static let ggufArchitectures = ["glm4moe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 131072)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["n_routed_experts", "num_experts", "num_local_experts"])
    var attention = try common.attention(rotatedShare: 0.5)
    attention.biases = try reader.flag("attention_bias", default: false) ? .queryKeyValue : .none
    attention.headNorms = try reader.flag("use_qk_norm", default: false) ? .each : .none
    var routing = ModelConfiguration.Routing(
      .sigmoid, normalizes: try reader.flag("norm_topk_prob", default: true))
    routing.scale = Float(try reader.number("routed_scaling_factor", default: 1))
    routing.hasCorrection = true
    routing.groups = try common.groups(experts: count, score: .sumOfBestTwo)
    var experts = try common.experts(
      count: count, innerKey: "moe_intermediate_size", routing: routing)
    experts.shared = try common.sharedExperts()
    let denseLayers = try reader.integer("first_k_dense_replace", in: 0...4096, default: 1)
    return try common.configuration(
      "glm4_moe", mixers: Array(repeating: .attention(attention), count: common.layers),
      feedForwards: try common.feedForwards { $0 < denseLayers }, experts: experts, epsilon: 1e-5)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "glm4_moe", class: "Glm4MoeForCausalLM", expertKey: "n_routed_experts",
      innerKey: "moe_intermediate_size")
    let extra = try model.integer("nextn_predict_layers", default: 0)
    config["num_hidden_layers"] = .integer(max(1, try model.integer("block_count") - extra))
    config["num_nextn_predict_layers"] = .integer(extra)
    config["intermediate_size"] = .integer(try model.integer("feed_forward_length"))
    config["first_k_dense_replace"] = .integer(
      try model.integer("leading_dense_block_count", default: 0))
    config["n_shared_experts"] = .integer(try model.integer("expert_shared_count", default: 0))
    config["n_group"] = .integer(try model.integer("expert_group_count", default: 1))
    config["topk_group"] = .integer(try model.integer("expert_group_used_count", default: 1))
    config["routed_scaling_factor"] = .number(try model.number("expert_weights_scale", default: 1))
    config["norm_topk_prob"] = .bool(try model.flag("expert_weights_norm", default: true))
    config["attention_bias"] = .bool(model.tensors["blk.0.attn_q.bias"] != nil)
    config["use_qk_norm"] = .bool(model.tensors["blk.0.attn_q_norm.weight"] != nil)
    let head = config["head_dim"]?.integer ?? 2
    let rotated = try model.integer("rope.dimension_count", default: head / 2)
    config["partial_rotary_factor"] = .number(Double(rotated) / Double(max(head, 1)))
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        published: [
          "mlp.shared_expert.gate_proj.weight": "mlp.shared_experts.gate_proj.weight",
          "mlp.shared_expert.up_proj.weight": "mlp.shared_experts.up_proj.weight",
          "mlp.shared_expert.down_proj.weight": "mlp.shared_experts.down_proj.weight",
        ],
        gguf: ["post_attention_layernorm.weight": "post_attention_norm.weight"]),
      form: form, unused: CatalogBuilder.laterLayers(configuration, form))
  }
}
