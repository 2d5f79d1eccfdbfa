import Support

/// What nearly all families' configurations say in the same words.
///
/// Every number is checked against the others here: a catalogue names every expert, so that a lying
/// count must not fill memory with names, and no later product may overflow.
struct CommonConfiguration {
  let reader: ConfigurationReader
  let hidden: Int
  let layers: Int
  let heads: Int
  let keyValueHeads: Int
  let headDimension: Int
  /// `max_position_embeddings`; what a scaling adds is not in it.
  let statedPositions: Int

  /// - Parameter defaultPositions: the family's own where the configuration names none.
  init(_ config: JSONValue, subject: String, defaultPositions: Int = 32768) throws(Failure) {
    reader = ConfigurationReader(root: config, subject: subject)
    hidden = try reader.integer("hidden_size")
    // The catalogue names every expert: a lying count must not fill memory with names.
    layers = try reader.integer("num_hidden_layers", in: 1...4096)
    heads = try reader.integer("num_attention_heads", in: 1...4096)
    keyValueHeads = try reader.integer("num_key_value_heads", in: 1...4096, default: heads)
    guard heads % keyValueHeads == 0 else {
      throw reader.failure(
        "num_key_value_heads", "\(keyValueHeads) must divide num_attention_heads, \(heads)")
    }
    headDimension = try reader.integer("head_dim", in: 2...512, default: hidden / heads)
    guard (2...512).contains(headDimension) else {
      throw reader.failure("num_attention_heads", "heads of \(headDimension) dimensions are absurd")
    }
    statedPositions = try reader.integer("max_position_embeddings", default: defaultPositions)
  }

  /// Full attention over all positions, rotated as the configuration says.
  func attention(rotatedShare: Double = 1, base: Double = 10000) throws(Failure)
    -> ModelConfiguration.Attention
  {
    ModelConfiguration.Attention(
      headCount: heads, keyValueHeadCount: keyValueHeads, headDimension: headDimension,
      rope: try RotaryEmbedding.read(
        reader,
        dimension: try RotaryEmbedding.dimension(reader, of: headDimension, share: rotatedShare),
        maximumPositions: statedPositions, base: base))
  }

  /// A window in positions; nil where there is none, or it is as long as any context.
  func window(_ key: String = "sliding_window") throws(Failure) -> Int? {
    let window = try reader.integer(key, in: 0...(1 << 40), default: 0)
    return window == 0 || window >= statedPositions ? nil : window
  }

  /// One mixer a layer: `layer_types` says which see a window only.
  ///
  /// - Parameter fallback: whether a layer has a window where there is no such list.
  func attentions(
    _ attention: ModelConfiguration.Attention, window: Int?,
    fallback: (Int) -> Bool = { _ in false }
  ) throws(Failure) -> [ModelConfiguration.Mixer] {
    let kinds = try layerTypes()
    var mixers: [ModelConfiguration.Mixer] = []
    for layer in 0..<layers {
      let isWindowed: Bool
      switch kinds?[layer] {
      case "full_attention": isWindowed = false
      case "sliding_attention": isWindowed = true
      case nil: isWindowed = fallback(layer)
      case let kind?:
        throw reader.unsupported("layer_types", "\"\(kind)\" is not supported by this family")
      }
      var own = attention
      own.window = isWindowed ? window : nil
      mixers.append(.attention(own))
    }
    return mixers
  }

  /// `layer_types`, one entry a layer; nil where the configuration has none.
  func layerTypes() throws(Failure) -> [String]? {
    guard let value = reader.value(["layer_types"]) else { return nil }
    let kinds = value.array?.compactMap(\.string)
    guard let kinds, kinds.count == layers, value.array?.count == layers else {
      throw reader.failure("layer_types", "must name the kind of each of the \(layers) layers")
    }
    return kinds
  }

  /// The number of routed experts, by the first of `keys` that is there.
  func expertCount(_ keys: [String]) throws(Failure) -> Int {
    guard let key = keys.first(where: { reader.value([$0]) != nil }) ?? keys.first else {
      return 0
    }
    let count = try reader.integer(key, in: 1...65535)
    guard count * layers <= 1 << 20 else {
      throw reader.failure(key, "\(count) in each of \(layers) layers is absurd")
    }
    return count
  }

  func experts(
    count: Int, innerKey: String, routing: ModelConfiguration.Routing, perToken fixed: Int? = nil
  ) throws(Failure) -> ModelConfiguration.Experts {
    var perToken = fixed ?? 0
    if fixed == nil {
      perToken = try reader.integer("num_experts_per_tok", "experts_per_token", in: 1...1024)
    }
    guard perToken <= count else {
      throw reader.failure(
        "num_experts_per_tok", "\(perToken) is more than the \(count) experts there are")
    }
    return ModelConfiguration.Experts(
      count: count, perToken: perToken, inner: try reader.integer(innerKey), routing: routing)
  }

  /// A layer has experts unless `mlp_only_layers` names it or `decoder_sparse_step` skips it.
  func steppedFeedForwards() throws(Failure) -> [ModelConfiguration.FeedForward] {
    let step = try reader.integer("decoder_sparse_step", in: 1...4096, default: 1)
    let denseLayers = try reader.integers("mlp_only_layers", in: 0...(layers - 1))
    return try feedForwards { denseLayers.contains($0) || ($0 + 1) % step != 0 }
  }

  /// Dense layers of `intermediate_size` where `isDense` says so, experts in all others.
  func feedForwards(isDense: (Int) -> Bool) throws(Failure) -> [ModelConfiguration.FeedForward] {
    var kinds: [ModelConfiguration.FeedForward] = []
    for layer in 0..<layers {
      kinds.append(
        isDense(layer) ? .dense(inner: try reader.integer("intermediate_size")) : .experts)
    }
    return kinds
  }

  func configuration(
    _ modelType: String, mixers: [ModelConfiguration.Mixer],
    feedForwards: [ModelConfiguration.FeedForward], experts: ModelConfiguration.Experts,
    norm: ModelConfiguration.Norm.Kind = .rootMeanSquare, epsilon: Double = 1e-6
  ) throws(Failure) -> ModelConfiguration {
    var maximum = statedPositions
    for mixer in mixers {
      switch mixer {
      case .attention(let attention):
        maximum = max(maximum, attention.rope.maximumPositions(statedPositions))
      case .latent(let attention):
        maximum = max(maximum, attention.rope.maximumPositions(statedPositions))
      case .deltaNet: break
      }
    }
    return ModelConfiguration(
      modelType: modelType, vocabularySize: try reader.integer("vocab_size"), hiddenSize: hidden,
      mixers: mixers, feedForwards: feedForwards, experts: experts,
      norm: ModelConfiguration.Norm(
        norm, epsilon: Float(try reader.number("rms_norm_eps", default: epsilon))),
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      maximumPositions: maximum,
      endTokens: try reader.integers("eos_token_id", in: 0...(1 << 26)).map { Int32($0) })
  }

  /// Refuses an activation that is not SiLU.
  func requireSiLU() throws(Failure) {
    try reader.require("hidden_act", isOneOf: ["silu", "swish"], default: "silu")
  }
}

// Words of the DeepSeek lineage.
extension CommonConfiguration {
  /// Groups of experts; nil where there is one group or all are kept.
  func groups(experts count: Int, score: ModelConfiguration.Routing.Groups.Score) throws(Failure)
    -> ModelConfiguration.Routing.Groups?
  {
    let groups = try reader.integer("n_group", in: 1...4096, default: 1)
    let kept = try reader.integer("topk_group", in: 1...4096, default: groups)
    guard groups > 1, kept < groups else { return nil }
    guard count % groups == 0, groups <= 64 else {
      throw reader.failure("n_group", "\(groups) must divide the \(count) experts, at most 64")
    }
    guard score == .best || count / groups >= 2 else {
      throw reader.failure("n_group", "groups of one expert have no best two")
    }
    let perToken = try reader.integer("num_experts_per_tok", in: 1...1024)
    guard kept * (count / groups) >= perToken else {
      throw reader.failure("topk_group", "\(kept) groups hold fewer than \(perToken) experts")
    }
    return ModelConfiguration.Routing.Groups(count: groups, kept: kept, score: score)
  }

  /// `n_shared_experts` experts of the routed ones' size, which act as one.
  func sharedExperts() throws(Failure) -> ModelConfiguration.Experts.Shared? {
    let count = try reader.integer("n_shared_experts", in: 0...1024, default: 0)
    guard count > 0 else { return nil }
    return ModelConfiguration.Experts.Shared(
      inner: count * (try reader.integer("moe_intermediate_size")), isGated: false)
  }
}

extension CatalogBuilder {
  /// Layers after the last: heads for multi-token prediction.
  static func laterLayers(_ configuration: ModelConfiguration, _ form: CheckpointForm) -> [(
    prefix: String, reason: String
  )] {
    (configuration.layerCount..<configuration.layerCount + 4).map { layer in
      (
        form.kind == .gguf ? "blk.\(layer)." : "model.layers.\(layer).",
        "multi-token prediction, which this build does not use"
      )
    }
  }
}
