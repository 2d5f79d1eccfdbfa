import Checkpoints
import Support

/// The language model of Qwen3.5 (35B-A3B, 122B-A10B, 397B-A17B): Qwen3-Next's layers with their
/// projections apart.  Images are not read.
///
/// Follows `transformers`' `modeling_qwen3_5_moe.py`.  Positions of a text are the same in all parts
/// of its multimodal rotation, which is then the plain one.
public enum Qwen35MoE: ModelFamily {
  public static let modelTypes = ["qwen3_5_moe", "qwen3_5_moe_text"]
  public static let ggufArchitectures = ["qwen35moe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let common = try CommonConfiguration(try text(config, subject: subject), subject: subject)
    try common.requireSiLU()
    let reader = common.reader
    return try common.qwenNext(
      "qwen3_5_moe", normalizes: try reader.flag("norm_topk_prob", default: true),
      hasGate: try reader.flag("attn_output_gate", default: true))
  }

  /// The configuration of the language model, which multimodal checkpoints have one level down.
  private static func text(_ config: JSONValue, subject: String) throws(Failure) -> JSONValue {
    guard let inner = config["text_config"], !inner.isNull else { return config }
    guard var text = inner.object else {
      throw Failure(.malformed, subject, at: "\"text_config\"", "must be an object")
    }
    for key in ["tie_word_embeddings", "eos_token_id"] where text[key] == nil {
      text[key] = config[key]
    }
    return .object(text)
  }

  public static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue {
    .object(
      try model.qwenNextConfig(
        modelType: "qwen3_5_moe_text", class: "Qwen3_5MoeForCausalLM", tilesValueHeads: true))
  }

  public static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm)
    -> TensorCatalog
  {
    let isNested = form.contains("model.language_model.embed_tokens.weight")
    return CatalogBuilder.catalog(
      configuration,
      names: TensorNames(
        root: isNested ? "model.language_model." : "model.",
        gguf: ["post_attention_layernorm.weight": "post_attention_norm.weight"]), form: form,
      unused: Qwen3Next.unused(configuration, form)
        + ["model.visual.", "visual."].map { ($0, "images, which this build does not read") })
  }
}
