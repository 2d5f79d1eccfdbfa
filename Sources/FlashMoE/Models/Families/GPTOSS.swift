import Checkpoints
import Support

/// gpt-oss (20B, 120B): attention sinks, every other layer sees a window, biases on everything, and
/// a clamped SwiGLU whose gate and up rows alternate.
///
/// Follows `transformers`' `modeling_gpt_oss.py`.
public enum GPTOSS: ModelFamily {
  public static let modelTypes = ["gpt_oss"]
  public static let ggufArchitectures = ["gpt-oss"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 131072)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_local_experts", "num_experts"])
    var attention = try common.attention(base: 150_000)
    attention.biases = try reader.flag("attention_bias", default: true) ? .all : .none
    attention.hasSinks = true
    var routing = ModelConfiguration.Routing(.softmaxOfChosen, normalizes: false)
    routing.hasBias = true
    var experts = try common.experts(count: count, innerKey: "intermediate_size", routing: routing)
    experts.hasBias = true
    experts.activation = .clampedSwiGLU(
      alpha: Float(try reader.number("swiglu_alpha", default: 1.702)),
      limit: Float(try reader.number("swiglu_limit", default: 7)))
    return try common.configuration(
      "gpt_oss",
      mixers: try common.attentions(attention, window: try common.window()) { $0 % 2 == 0 },
      feedForwards: Array(repeating: .experts, count: common.layers), experts: experts,
      epsilon: 1e-5)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "gpt_oss", class: "GptOssForCausalLM", expertKey: "num_local_experts",
      innerKey: "intermediate_size")
    config["sliding_window"] = .integer(try model.integer("attention.sliding_window", default: 128))
    config["attention_bias"] = .bool(model.tensors["blk.0.attn_q.bias"] != nil)
    if case .object(var scaling)? = config["rope_scaling"] {
      scaling["truncate"] = .bool(false)
      config["rope_scaling"] = .object(scaling)
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        published: [
          "mlp.gate.weight": "mlp.router.weight", "mlp.gate.bias": "mlp.router.bias",
        ],
        gguf: ["post_attention_layernorm.weight": "post_attention_norm.weight"],
        experts: .stacked(
          TensorNames.Stacked(
            gateUp: "mlp.experts.gate_up_proj", down: "mlp.experts.down_proj", alternates: true,
            isTransposed: form.hasTransposedExperts))), form: form)
  }
}

extension CheckpointForm {
  /// bf16 files hold an expert as [input][output], MXFP4 blocks as [output][input].
  fileprivate var hasTransposedExperts: Bool {
    !contains("model.layers.0.mlp.experts.gate_up_proj_blocks")
  }
}
