import Support

// Attention of the DeepSeek lineage.
extension CommonConfiguration {
  func latentAttention() throws(Failure) -> ModelConfiguration.LatentAttention {
    // The catalogue names every head's matrices: a lying count must not fill memory.
    guard heads * layers <= 1 << 18 else {
      throw reader.failure("num_attention_heads", "\(heads) in each of \(layers) layers is absurd")
    }
    let plain = try reader.integer("qk_nope_head_dim", in: 1...1024)
    let rotated = try reader.integer("qk_rope_head_dim", in: 2...512)
    let rank = try reader.integer("kv_lora_rank", in: 1...1024)
    var queryRank: Int?
    if reader.value(["q_lora_rank"]) != nil { queryRank = try reader.integer("q_lora_rank") }
    var rope = try RotaryEmbedding.read(
      reader, dimension: rotated, maximumPositions: statedPositions)
    if try reader.flag("rope_interleave", default: true) { rope.pairing = .neighbours }
    var scale = 1 / Double(plain + rotated).squareRoot()
    let magnitude = try scoreMagnitude()
    scale *= magnitude * magnitude
    return ModelConfiguration.LatentAttention(
      headCount: heads, rank: rank, queryRank: queryRank, plainDimension: plain,
      rotatedDimension: rotated, valueDimension: try reader.integer("v_head_dim", in: 1...1024),
      hasBias: try reader.flag("attention_bias", default: false), rope: rope, scale: Float(scale))
  }

  /// What a scaled rotation multiplies queries and keys with, beside what is in cosines and sines.
  private func scoreMagnitude() throws(Failure) -> Double {
    let scaling = try RotaryEmbedding.parameters(reader)
    let all = try scaling.number("mscale_all_dim", default: 0)
    let legacy = try scaling.string("type")
    guard all != 0, (try scaling.string("rope_type") ?? legacy ?? "default") != "default" else {
      return 1
    }
    return RotaryEmbedding.yarnMagnitude(try scaling.number("factor"), scale: all)
  }

  /// Experts after the first dense layers, with shared ones.
  func deepSeek(
    _ modelType: String, routing: ModelConfiguration.Routing, count: Int
  ) throws(Failure) -> ModelConfiguration {
    guard try reader.integer("moe_layer_freq", in: 1...4096, default: 1) == 1 else {
      throw reader.unsupported("moe_layer_freq", "dense layers between those with experts")
    }
    var experts = try experts(count: count, innerKey: "moe_intermediate_size", routing: routing)
    experts.shared = try sharedExperts()
    let denseLayers = try reader.integer("first_k_dense_replace", in: 0...4096, default: 0)
    return try configuration(
      modelType, mixers: Array(repeating: .latent(try latentAttention()), count: layers),
      feedForwards: try feedForwards { $0 < denseLayers }, experts: experts)
  }
}

extension TensorNames {
  /// The shared experts under the DeepSeek lineage's name for them.
  static let deepSeek = TensorNames(published: [
    "mlp.shared_expert.gate_proj.weight": "mlp.shared_experts.gate_proj.weight",
    "mlp.shared_expert.up_proj.weight": "mlp.shared_experts.up_proj.weight",
    "mlp.shared_expert.down_proj.weight": "mlp.shared_experts.down_proj.weight",
  ])
}

extension GGUFModel {
  /// A `config.json` of the DeepSeek lineage.
  func deepSeekConfig(modelType: String, class name: String) throws(Failure) -> JSONObject {
    var config = try config(
      modelType: modelType, class: name, expertKey: "n_routed_experts",
      innerKey: "moe_intermediate_size")
    let rotated = try integer("rope.dimension_count")
    // Files made before positions were compressed have a head's dimensions under the plain names.
    let key = try integer(
      has("attention.key_length_mla") ? "attention.key_length_mla" : "attention.key_length")
    let value = try integer(
      has("attention.value_length_mla") ? "attention.value_length_mla" : "attention.value_length")
    guard rotated >= 2, key > rotated else {
      throw unsupported("rope.dimension_count", "does not leave a part of \(key) unrotated")
    }
    config["head_dim"] = .integer(rotated)
    config["num_key_value_heads"] = config["num_attention_heads"]
    config["kv_lora_rank"] = .integer(try integer("attention.kv_lora_rank"))
    if has("attention.q_lora_rank") {
      config["q_lora_rank"] = .integer(try integer("attention.q_lora_rank"))
    }
    config["qk_rope_head_dim"] = .integer(rotated)
    config["qk_nope_head_dim"] = .integer(key - rotated)
    config["v_head_dim"] = .integer(value)
    config["intermediate_size"] = .integer(try integer("feed_forward_length", default: 1))
    config["first_k_dense_replace"] = .integer(
      try integer("leading_dense_block_count", default: 0))
    config["n_shared_experts"] = .integer(try integer("expert_shared_count", default: 0))
    config["n_group"] = .integer(try integer("expert_group_count", in: 1...4096, default: 1))
    config["topk_group"] = .integer(
      try integer("expert_group_used_count", in: 1...4096, default: 1))
    config["routed_scaling_factor"] = .number(try number("expert_weights_scale", default: 1))
    config["norm_topk_prob"] = .bool(try flag("expert_weights_norm", default: false))
    let extra = try integer("nextn_predict_layers", default: 0)
    config["num_hidden_layers"] = .integer(max(1, try integer("block_count") - extra))
    config["attention_bias"] = .bool(tensors["blk.0.attn_kv_a_mqa.bias"] != nil)
    if has("rope.scaling.yarn_log_multiplier"), var scaling = config["rope_scaling"]?.object {
      // The converter writes a tenth of `mscale_all_dim`, and nothing of `mscale`, which published
      // models have the same.
      let all = try number("rope.scaling.yarn_log_multiplier") / 0.1
      scaling["mscale"] = .number(all)
      scaling["mscale_all_dim"] = .number(all)
      config["rope_scaling"] = .object(scaling)
    }
    return config
  }
}
