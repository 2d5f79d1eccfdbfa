import Support

/// The exact shapes of published models, for stores with random weights.
public struct ModelShape: Sendable, Equatable {
  public var name: String
  public var hidden: Int
  public var layers: Int
  public var heads: Int
  public var keyValueHeads: Int
  public var headDimension: Int
  public var experts: Int
  public var expertsPerToken: Int
  public var inner: Int
  public var vocabulary: Int
  /// What stands in for parts of the real model that this build does not have; nil when nothing
  /// does.
  public var standIn: String? = nil

  /// Attention heads of these shapes are chosen so that a layer has as many resident weights as the
  /// real model's layers have on average, shared expert included (docs/packing.md).
  private static let deltaNetStandIn =
    "attention heads of the same bytes as gated DeltaNet, gated attention and the shared expert"

  public static let all: [ModelShape] = [
    ModelShape(
      name: "qwen3-30b-a3b", hidden: 2048, layers: 48, heads: 32, keyValueHeads: 4,
      headDimension: 128, experts: 128, expertsPerToken: 8, inner: 768, vocabulary: 151936),
    ModelShape(
      name: "qwen3-235b-a22b", hidden: 4096, layers: 94, heads: 64, keyValueHeads: 4,
      headDimension: 128, experts: 128, expertsPerToken: 8, inner: 1536, vocabulary: 151936),
    ModelShape(
      name: "qwen3.5-397b-a17b", hidden: 4096, layers: 60, heads: 120, keyValueHeads: 2,
      headDimension: 128, experts: 512, expertsPerToken: 10, inner: 1024, vocabulary: 248320,
      standIn: deltaNetStandIn),
    ModelShape(
      name: "qwen3-coder-next", hidden: 2048, layers: 48, heads: 66, keyValueHeads: 2,
      headDimension: 128, experts: 512, expertsPerToken: 10, inner: 512, vocabulary: 151936,
      standIn: deltaNetStandIn),
    // Not a published model: the family at a size that packs in seconds.
    ModelShape(
      name: "qwen3-7b-a1b", hidden: 1536, layers: 24, heads: 16, keyValueHeads: 4,
      headDimension: 128, experts: 64, expertsPerToken: 8, inner: 640, vocabulary: 151936),
    // For tests.
    ModelShape(
      name: "qwen3-tiny", hidden: 64, layers: 3, heads: 4, keyValueHeads: 2, headDimension: 16,
      experts: 8, expertsPerToken: 2, inner: 32, vocabulary: 256),
  ]

  /// Shapes people ask for whose families this build does not run yet.
  private static let later = ["qwen3.5-35b-a3b", "qwen3.5-122b-a10b"]

  /// - Throws: `Failure(.unsupported)` for a shape whose family is not there, `.usage` for others.
  public static func named(_ name: String) throws(Failure) -> ModelShape {
    if let shape = all.first(where: { $0.name == name.lowercased() }) { return shape }
    let known = all.map(\.name).joined(separator: ", ")
    if later.contains(name.lowercased()) {
      throw Failure(
        .unsupported, "--shape", "\(name) is of a model family this build does not have yet",
        remedy: "Use one of \(known)")
    }
    throw Failure(
      .usage, "--shape", "\"\(name)\" is not a known shape", remedy: "Use one of \(known)")
  }

  /// A `config.json` of this shape, marked as synthetic.
  public func config(layers: Int) -> JSONValue {
    .object([
      "architectures": .array([.string("Qwen3MoeForCausalLM")]),
      "model_type": .string("qwen3_moe"),
      "flashmoe_synthetic": .bool(true),
      "hidden_act": .string("silu"),
      "hidden_size": .integer(hidden),
      "intermediate_size": .integer(3 * inner),
      "moe_intermediate_size": .integer(inner),
      "num_hidden_layers": .integer(layers),
      "num_attention_heads": .integer(heads),
      "num_key_value_heads": .integer(keyValueHeads),
      "head_dim": .integer(headDimension),
      "num_experts": .integer(experts),
      "num_experts_per_tok": .integer(expertsPerToken),
      "norm_topk_prob": .bool(true),
      "decoder_sparse_step": .integer(1),
      "mlp_only_layers": .array([]),
      "attention_bias": .bool(false),
      "rms_norm_eps": .number(1e-6),
      "rope_theta": .number(1_000_000),
      "max_position_embeddings": .integer(40960),
      "tie_word_embeddings": .bool(false),
      "vocab_size": .integer(vocabulary),
    ])
  }
}
