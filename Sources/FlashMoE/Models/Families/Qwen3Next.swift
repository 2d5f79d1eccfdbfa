import Checkpoints
import Support

/// Qwen3-Next (80B-A3B, Coder-Next): three gated DeltaNets, then full attention with gated heads of
/// which a quarter is rotated; zero-centred norms; a gated shared expert.
///
/// Follows `transformers`' `modeling_qwen3_next.py`.
public enum Qwen3Next: ModelFamily {
  public static let modelTypes = ["qwen3_next"]
  public static let ggufArchitectures = ["qwen3next"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(config, subject: subject)
    try common.requireSiLU()
    return try common.qwenNext(
      "qwen3_next", normalizes: try common.reader.flag("norm_topk_prob", default: true),
      hasGate: true)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    .object(
      try model.qwenNextConfig(
        modelType: "qwen3_next", class: "Qwen3NextForCausalLM", tilesValueHeads: false))
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        gguf: ["post_attention_layernorm.weight": "post_attention_norm.weight"],
        fusesDeltaProjections: true), form: form,
      unused: unused(configuration, form))
  }

  static func unused(_ configuration: ModelConfiguration, _ form: CheckpointForm) -> [(
    prefix: String, reason: String
  )] {
    [("mtp.", "multi-token prediction, which this build does not use")]
      + CatalogBuilder.laterLayers(configuration, form)
  }
}
