import Checkpoints
import Support

/// Mixtral (8x7B, 8x22B): two of eight large experts, whose weights sum to one.
///
/// Follows `transformers`' `modeling_mixtral.py`.  llama.cpp calls it `llama`.
public enum Mixtral: ModelFamily {
  public static let modelTypes = ["mixtral"]
  public static let ggufArchitectures = ["llama"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject, defaultPositions: 131072)
    try common.requireSiLU()
    let count = try common.expertCount(["num_local_experts", "num_experts"])
    var attention = try common.attention(base: 1_000_000)
    // Only GGUF files say so: Mixtral itself has none.
    attention.biases = try common.reader.flag("attention_bias", default: false) ? .all : .none
    return try common.configuration(
      "mixtral",
      mixers: try common.attentions(attention, window: try common.window()) { _ in true },
      feedForwards: Array(repeating: .experts, count: common.layers),
      experts: try common.experts(
        count: count, innerKey: "intermediate_size",
        routing: ModelConfiguration.Routing(.softmax, normalizes: true)),
      epsilon: 1e-5)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    guard try model.integer("expert_count", default: 0) > 0 else {
      throw model.unsupported(
        "expert_count", "this model has no experts: only Mixture-of-Experts models can be packed")
    }
    return .object(
      try model.config(
        modelType: "mixtral", class: "MixtralForCausalLM", expertKey: "num_local_experts",
        innerKey: "intermediate_size"))
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        published: ["mlp.gate.weight": "block_sparse_moe.gate.weight"],
        experts: .each(
          prefix: "block_sparse_moe.experts", gate: "w1.weight", up: "w3.weight", down: "w2.weight"),
        ggufInterleavesHeads: true), form: form)
  }
}
