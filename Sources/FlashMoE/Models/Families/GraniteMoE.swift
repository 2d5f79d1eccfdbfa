import Checkpoints
import Support

/// Granite 3 MoE (1B-A400M, 3B-A800M): four multipliers, softmax over the chosen logits only, and
/// all experts of a layer in two tensors.
///
/// Follows `transformers`' `modeling_granitemoe.py`.
public enum GraniteMoE: ModelFamily {
  public static let modelTypes = ["granitemoe"]
  public static let ggufArchitectures = ["granitemoe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 2048)
    try common.requireSiLU()
    let reader = common.reader
    let count = try common.expertCount(["num_local_experts", "num_experts"])
    var attention = try common.attention()
    attention.biases = try reader.flag("attention_bias", default: false) ? .all : .none
    attention.scale = Float(try reader.number("attention_multiplier", default: 1))
    var configuration = try common.configuration(
      "granitemoe", mixers: Array(repeating: .attention(attention), count: common.layers),
      feedForwards: Array(repeating: .experts, count: common.layers),
      experts: try common.experts(
        count: count, innerKey: "intermediate_size",
        routing: ModelConfiguration.Routing(.softmaxOfChosen, normalizes: false)))
    configuration.multipliers.embedding = Float(
      try reader.number("embedding_multiplier", default: 1))
    configuration.multipliers.residual = Float(
      try reader.number("residual_multiplier", default: 1))
    let scaling = try reader.number("logits_scaling", default: 1)
    guard scaling != 0 else { throw reader.failure("logits_scaling", "must not be zero") }
    configuration.multipliers.logits = Float(1 / scaling)
    return configuration
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    var config = try model.config(
      modelType: "granitemoe", class: "GraniteMoeForCausalLM", expertKey: "num_local_experts",
      innerKey: "intermediate_size")
    let head = try model.integer("attention.key_length", default: 0)
    let usual = config["head_dim"]?.integer ?? max(head, 1)
    for (ours, theirs, fallback) in [
      ("embedding_multiplier", "embedding_scale", 1),
      ("residual_multiplier", "residual_scale", 1), ("logits_scaling", "logit_scale", 1),
      ("attention_multiplier", "attention.scale", 1 / Double(usual).squareRoot()),
    ] {
      config[ours] = .number(try model.number(theirs, default: fallback))
    }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        published: ["mlp.gate.weight": "block_sparse_moe.router.layer.weight"],
        experts: .stacked(
          TensorNames.Stacked(
            gateUp: "block_sparse_moe.input_linear.weight",
            down: "block_sparse_moe.output_linear.weight")),
        ggufInterleavesHeads: true), form: form)
  }
}
