import Support

extension ModelShape {
  /// Three gated DeltaNets and one gated attention in turn, a gated shared expert.
  public struct HybridLayers: Sendable, Equatable {
    public var valueHeads: Int
    public var keyHeads = 16
    /// Whether the projections lie apart, as in Qwen3.5.
    public var isLater: Bool

    func config(_ shape: ModelShape) -> JSONObject {
      [
        "architectures": .array([
          .string(isLater ? "Qwen3_5MoeForCausalLM" : "Qwen3NextForCausalLM")
        ]),
        "model_type": .string(isLater ? "qwen3_5_moe_text" : "qwen3_next"),
        "num_experts": .integer(shape.experts),
        "shared_expert_intermediate_size": .integer(shape.inner),
        "full_attention_interval": .integer(4),
        "linear_num_key_heads": .integer(keyHeads),
        "linear_num_value_heads": .integer(valueHeads),
        "linear_key_head_dim": .integer(128),
        "linear_value_head_dim": .integer(128),
        "linear_conv_kernel_dim": .integer(4),
        "partial_rotary_factor": .number(0.25),
        "rope_theta": .number(10_000_000),
        "max_position_embeddings": .integer(262144),
      ]
    }
  }

  /// Attention over a compressed cache, shared experts, dense first layers.
  public struct LatentLayers: Sendable, Equatable {
    public var queryRank: Int?
    public var denseLayers: Int
    public var denseInner: Int
    public var sharedExperts: Int
    public var groups = 1
    public var keptGroups = 1

    private var isLater: Bool { queryRank != nil }

    func config(_ shape: ModelShape) -> JSONObject {
      [
        "architectures": .array([
          .string(isLater ? "DeepseekV3ForCausalLM" : "DeepseekV2ForCausalLM")
        ]),
        "model_type": .string(isLater ? "deepseek_v3" : "deepseek_v2"),
        "n_routed_experts": .integer(shape.experts),
        "n_shared_experts": .integer(sharedExperts),
        "n_group": .integer(groups),
        "topk_group": .integer(keptGroups),
        "topk_method": .string(isLater ? "noaux_tc" : "greedy"),
        "scoring_func": .string(isLater ? "sigmoid" : "softmax"),
        "routed_scaling_factor": .number(isLater ? 2.5 : 1),
        "first_k_dense_replace": .integer(denseLayers),
        "intermediate_size": .integer(denseInner),
        "kv_lora_rank": .integer(512),
        "q_lora_rank": queryRank.map { .integer($0) } ?? .null,
        "qk_nope_head_dim": .integer(128),
        "qk_rope_head_dim": .integer(64),
        "v_head_dim": .integer(128),
        "rope_theta": .number(10000),
        "max_position_embeddings": .integer(163840),
      ]
    }
  }
}
