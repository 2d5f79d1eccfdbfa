import Support

// Layers of the Qwen3-Next lineage.
extension CommonConfiguration {
  func deltaNet(epsilon: Double) throws(Failure) -> ModelConfiguration.DeltaNet {
    let keyHeads = try reader.integer("linear_num_key_heads", in: 1...4096)
    let valueHeads = try reader.integer("linear_num_value_heads", in: 1...4096)
    guard valueHeads % keyHeads == 0 else {
      throw reader.failure(
        "linear_num_key_heads",
        "\(keyHeads) must divide linear_num_value_heads, \(valueHeads)")
    }
    var net = ModelConfiguration.DeltaNet(
      keyHeadCount: keyHeads, valueHeadCount: valueHeads,
      keyDimension: try reader.integer("linear_key_head_dim", in: 1...1024),
      valueDimension: try reader.integer("linear_value_head_dim", in: 1...1024),
      taps: try reader.integer("linear_conv_kernel_dim", in: 1...16), epsilon: Float(epsilon))
    if try isFromGGUF() {
      net.storesLogarithm = false
      net.order = try reader.flag(Self.tiledKey, default: false) ? .tiled : .grouped
    }
    return net
  }

  /// Keys this build writes into the configuration of a GGUF file, whose tensors are transformed.
  static let ggufKey = "flashmoe_gguf"
  static let tiledKey = "flashmoe_tiled_value_heads"

  private func isFromGGUF() throws(Failure) -> Bool {
    try reader.flag(Self.ggufKey, default: false)
  }

  /// DeltaNets, and full attention in every n-th layer or where `layer_types` says so.
  func qwenNext(_ modelType: String, normalizes: Bool, hasGate: Bool) throws(Failure)
    -> ModelConfiguration
  {
    if try reader.flag("attention_bias", default: false) {
      throw reader.unsupported("attention_bias", "biases are not supported by this family")
    }
    if try reader.flag("use_sliding_window", default: false) {
      throw reader.unsupported("use_sliding_window", "windows are not supported by this family")
    }
    let epsilon = try reader.number("rms_norm_eps", default: 1e-6)
    var attention = try attention(rotatedShare: 0.25)
    attention.headNorms = .each
    attention.hasGate = hasGate
    let net = try deltaNet(epsilon: epsilon)
    // The catalogue lists every row that has to be moved: a lying count must not fill memory.
    guard (net.channels + net.valueRows + 2 * attention.queryRows) * layers <= 1 << 23 else {
      throw reader.failure("linear_num_value_heads", "heads of this size are absurd")
    }
    let interval = try reader.integer("full_attention_interval", in: 1...4096, default: 4)
    let kinds = try layerTypes()
    var mixers: [ModelConfiguration.Mixer] = []
    for layer in 0..<layers {
      switch kinds?[layer] ?? ((layer + 1) % interval == 0 ? "full_attention" : "linear_attention")
      {
      case "full_attention": mixers.append(.attention(attention))
      case "linear_attention": mixers.append(.deltaNet(net))
      case let kind:
        throw reader.unsupported("layer_types", "\"\(kind)\" is not supported by this family")
      }
    }
    let count = try expertCount(["num_experts", "num_local_experts"])
    var experts = try experts(
      count: count, innerKey: "moe_intermediate_size",
      routing: ModelConfiguration.Routing(.softmax, normalizes: normalizes))
    experts.shared = ModelConfiguration.Experts.Shared(
      inner: try reader.integer("shared_expert_intermediate_size"), isGated: true)
    return try configuration(
      modelType, mixers: mixers, feedForwards: try steppedFeedForwards(), experts: experts,
      norm: try isFromGGUF() ? .rootMeanSquare : .rootMeanSquarePlusOne)
  }
}

extension GGUFModel {
  /// A `config.json` of the Qwen3-Next lineage.
  ///
  /// llama.cpp's converter adds the 1 to norm weights and turns logarithms of decay rates into
  /// negative rates; two private keys say so.
  func qwenNextConfig(modelType: String, class name: String, tilesValueHeads: Bool)
    throws(Failure) -> JSONObject
  {
    var config = try config(
      modelType: modelType, class: name, expertKey: "num_experts",
      innerKey: "moe_intermediate_size")
    let layers = max(
      1, try integer("block_count") - (try integer("nextn_predict_layers", default: 0)))
    let interval = try integer("full_attention_interval", in: 1...4096, default: 4)
    let inner = try integer("ssm.inner_size")
    let heads = try integer("ssm.time_step_rank", in: 1...4096)
    config["num_hidden_layers"] = .integer(layers)
    config["layer_types"] = .array(
      (0..<layers).map { layer in
        // What a layer is shows in its tensors; the interval is a fallback.
        let isFull =
          tensors["blk.\(layer).attn_q.weight"] != nil
          || tensors["blk.\(layer).ssm_out.weight"] == nil && (layer + 1) % interval == 0
        return .string(isFull ? "full_attention" : "linear_attention")
      })
    config["linear_conv_kernel_dim"] = .integer(try integer("ssm.conv_kernel"))
    config["linear_key_head_dim"] = .integer(try integer("ssm.state_size"))
    config["linear_num_key_heads"] = .integer(try integer("ssm.group_count"))
    config["linear_num_value_heads"] = .integer(heads)
    config["linear_value_head_dim"] = .integer(inner / heads)
    let head = config["head_dim"]?.integer ?? 2
    let rotated = try integer("rope.dimension_count", default: head / 4)
    config["partial_rotary_factor"] = .number(Double(rotated) / Double(max(head, 1)))
    config["norm_topk_prob"] = .bool(true)
    if let shared = tensors["blk.0.ffn_gate_shexp.weight"], shared.shape.count == 2 {
      config["shared_expert_intermediate_size"] = .integer(shared.shape[0])
    } else {
      config["shared_expert_intermediate_size"] = .integer(
        try integer("expert_shared_feed_forward_length"))
    }
    config[CommonConfiguration.ggufKey] = .bool(true)
    config[CommonConfiguration.tiledKey] = .bool(tilesValueHeads)
    return config
  }
}
