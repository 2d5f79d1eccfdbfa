import Support

/// The exact shapes of published models, for stores with random weights.
public struct ModelShape: Sendable, Equatable {
  /// What a model's layers are beside their sizes.
  public enum Lineage: Sendable, Equatable {
    case qwen3
    case hybrid(HybridLayers)
    case deepSeek(LatentLayers)
  }

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
  public var lineage = Lineage.qwen3

  public static let all: [ModelShape] = [
    ModelShape(
      name: "qwen3-30b-a3b", hidden: 2048, layers: 48, heads: 32, keyValueHeads: 4,
      headDimension: 128, experts: 128, expertsPerToken: 8, inner: 768, vocabulary: 151936),
    ModelShape(
      name: "qwen3-235b-a22b", hidden: 4096, layers: 94, heads: 64, keyValueHeads: 4,
      headDimension: 128, experts: 128, expertsPerToken: 8, inner: 1536, vocabulary: 151936),
    ModelShape(
      name: "qwen3-coder-next", hidden: 2048, layers: 48, heads: 16, keyValueHeads: 2,
      headDimension: 256, experts: 512, expertsPerToken: 10, inner: 512, vocabulary: 151936,
      lineage: .hybrid(HybridLayers(valueHeads: 32, isLater: false))),
    ModelShape(
      name: "qwen3.5-35b-a3b", hidden: 2048, layers: 40, heads: 16, keyValueHeads: 2,
      headDimension: 256, experts: 256, expertsPerToken: 8, inner: 512, vocabulary: 248320,
      lineage: .hybrid(HybridLayers(valueHeads: 32, isLater: true))),
    ModelShape(
      name: "qwen3.5-122b-a10b", hidden: 3072, layers: 48, heads: 32, keyValueHeads: 2,
      headDimension: 256, experts: 256, expertsPerToken: 8, inner: 1024, vocabulary: 248320,
      lineage: .hybrid(HybridLayers(valueHeads: 64, isLater: true))),
    ModelShape(
      name: "qwen3.5-397b-a17b", hidden: 4096, layers: 60, heads: 32, keyValueHeads: 2,
      headDimension: 256, experts: 512, expertsPerToken: 10, inner: 1024, vocabulary: 248320,
      lineage: .hybrid(HybridLayers(valueHeads: 64, isLater: true))),
    ModelShape(
      name: "deepseek-v2-lite", hidden: 2048, layers: 27, heads: 16, keyValueHeads: 16,
      headDimension: 64, experts: 64, expertsPerToken: 6, inner: 1408, vocabulary: 102400,
      lineage: .deepSeek(
        LatentLayers(queryRank: nil, denseLayers: 1, denseInner: 10944, sharedExperts: 2))),
    ModelShape(
      name: "deepseek-v3", hidden: 7168, layers: 61, heads: 128, keyValueHeads: 128,
      headDimension: 64, experts: 256, expertsPerToken: 8, inner: 2048, vocabulary: 129280,
      lineage: .deepSeek(
        LatentLayers(
          queryRank: 1536, denseLayers: 3, denseInner: 18432, sharedExperts: 1, groups: 8,
          keptGroups: 4))),
    ModelShape(
      name: "kimi-k2", hidden: 7168, layers: 61, heads: 64, keyValueHeads: 64, headDimension: 64,
      experts: 384, expertsPerToken: 8, inner: 2048, vocabulary: 163840,
      lineage: .deepSeek(
        LatentLayers(queryRank: 1536, denseLayers: 1, denseInner: 18432, sharedExperts: 1))),
    // Not a published model: the family at a size that packs in seconds.
    ModelShape(
      name: "qwen3-7b-a1b", hidden: 1536, layers: 24, heads: 16, keyValueHeads: 4,
      headDimension: 128, experts: 64, expertsPerToken: 8, inner: 640, vocabulary: 151936),
    // For tests.
    ModelShape(
      name: "qwen3-tiny", hidden: 64, layers: 3, heads: 4, keyValueHeads: 2, headDimension: 16,
      experts: 8, expertsPerToken: 2, inner: 32, vocabulary: 256),
  ]

  /// Shapes of models that people can download.
  public static var published: [ModelShape] {
    all.filter { !["qwen3-7b-a1b", "qwen3-tiny"].contains($0.name) }
  }

  /// Longer names people know a shape by.
  private static let otherNames = [
    "qwen3-next-80b-a3b": "qwen3-coder-next", "qwen3-coder-next-80b-a3b": "qwen3-coder-next",
    "deepseek-r1": "deepseek-v3",
  ]

  /// - Throws: `Failure(.usage)` that lists what is known.
  public static func named(_ name: String) throws(Failure) -> ModelShape {
    let wanted = otherNames[name.lowercased()] ?? name.lowercased()
    if let shape = all.first(where: { $0.name == wanted }) { return shape }
    let known = all.map(\.name).joined(separator: ", ")
    throw Failure(
      .usage, "--shape", "\"\(name)\" is not a known shape", remedy: "Use one of \(known)")
  }

  /// A `config.json` of this shape, marked as synthetic.
  public func config(layers: Int) -> JSONValue {
    var config: JSONObject = [
      "flashmoe_synthetic": .bool(true),
      "hidden_act": .string("silu"),
      "hidden_size": .integer(hidden),
      "moe_intermediate_size": .integer(inner),
      "num_hidden_layers": .integer(layers),
      "num_attention_heads": .integer(heads),
      "num_key_value_heads": .integer(keyValueHeads),
      "head_dim": .integer(headDimension),
      "num_experts_per_tok": .integer(expertsPerToken),
      "norm_topk_prob": .bool(true),
      "attention_bias": .bool(false),
      "rms_norm_eps": .number(1e-6),
      "tie_word_embeddings": .bool(false),
      "vocab_size": .integer(vocabulary),
    ]
    let rest: JSONObject
    switch lineage {
    case .qwen3:
      rest = [
        "architectures": .array([.string("Qwen3MoeForCausalLM")]),
        "model_type": .string("qwen3_moe"),
        "intermediate_size": .integer(3 * inner),
        "num_experts": .integer(experts),
        "decoder_sparse_step": .integer(1),
        "mlp_only_layers": .array([]),
        "rope_theta": .number(1_000_000),
        "max_position_embeddings": .integer(40960),
      ]
    case .hybrid(let layers): rest = layers.config(self)
    case .deepSeek(let layers): rest = layers.config(self)
    }
    for key in rest.keys { config[key] = rest[key] }
    return .object(config)
  }
}
