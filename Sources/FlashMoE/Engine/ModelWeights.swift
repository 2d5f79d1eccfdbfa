import Support
import WeightStore

extension ModelWeights {
  init(_ resolver: WeightResolver, _ configuration: ModelConfiguration) throws(Failure) {
    let hidden = configuration.hiddenSize
    let vocabulary = configuration.vocabularySize
    embedding = try resolver.matrix("model.embed_tokens.weight", rows: vocabulary, columns: hidden)
    head =
      configuration.tiesEmbeddings
      ? embedding : try resolver.matrix("lm_head.weight", rows: vocabulary, columns: hidden)
    headBias =
      configuration.headHasBias ? try resolver.vector("lm_head.bias", count: vocabulary) : nil
    finalNorm = try resolver.norm("model.norm", count: hidden, configuration.norm.kind)
    let stored = resolver.store.manifest.layers
    guard stored.map(\.layer) == configuration.sparseLayers else {
      throw Failure(
        .mismatch, resolver.store.path, at: "layers",
        "the store's expert layers are not those of the configuration",
        remedy: "Pack the checkpoint again")
    }
    let rotations = configuration.rotations
    var layers: [LayerWeights] = []
    var experts: [ExpertShape] = []
    for layer in 0..<configuration.layerCount {
      let prefix = "model.layers.\(layer)."
      let mixer: LayerWeights.Mixer
      switch configuration.mixers[layer] {
      case .attention(let attention):
        mixer = .attention(
          try Self.attention(prefix, attention, resolver, configuration, rotations: rotations))
      case .latent(let attention):
        mixer = .latent(
          try resolver.latent(
            prefix, attention, hidden: hidden,
            rotation: rotations.firstIndex(of: attention.rope) ?? 0))
      case .deltaNet(let net):
        mixer = .deltaNet(try resolver.deltaNet(prefix, net, hidden: hidden))
      }
      let feedForward: LayerWeights.FeedForward
      switch configuration.feedForwards[layer] {
      case .experts:
        feedForward = .experts(
          try Self.experts(prefix, storeLayer: experts.count, resolver, configuration))
        experts.append(
          try Self.expertShape(stored[experts.count], prefix, resolver, configuration))
      case .dense(let inner):
        feedForward = .dense(try resolver.swiglu(prefix + "mlp", inner: inner, hidden: hidden))
      }
      layers.append(
        LayerWeights(
          inputNorm: try resolver.norm(
            prefix + "input_layernorm", count: hidden, configuration.norm.kind),
          mixer: mixer,
          feedForwardNorm: try resolver.norm(
            prefix + "post_attention_layernorm", count: hidden, configuration.norm.kind),
          feedForward: feedForward))
    }
    self.layers = layers
    self.experts = experts
  }

  private static func attention(
    _ prefix: String, _ attention: ModelConfiguration.Attention, _ resolver: WeightResolver,
    _ configuration: ModelConfiguration, rotations: [RotaryEmbedding]
  ) throws(Failure) -> AttentionWeights {
    let hidden = configuration.hiddenSize
    func matrix(_ name: String, _ rows: Int, _ columns: Int) throws(Failure) -> Matrix {
      try resolver.matrix(prefix + "self_attn.\(name).weight", rows: rows, columns: columns)
    }
    func bias(_ name: String, _ count: Int, _ isThere: Bool) throws(Failure)
      -> UnsafePointer<Float>?
    {
      isThere ? try resolver.vector(prefix + "self_attn.\(name).bias", count: count) : nil
    }
    func norm(_ name: String, _ rows: Int) throws(Failure) -> UnsafePointer<Float>? {
      let count: Int
      switch attention.headNorms {
      case .none: return nil
      case .each: count = attention.headDimension
      case .together: count = rows
      }
      return try resolver.normWeight(
        prefix + "self_attn.\(name).weight", count: count, configuration.norm.kind)
    }
    let hasBias = attention.biases != .none
    return AttentionWeights(
      shape: AttentionShape(
        headCount: attention.headCount, keyValueHeadCount: attention.keyValueHeadCount,
        headDimension: attention.headDimension, scale: attention.scale,
        window: attention.window ?? 0, clip: attention.clip ?? 0,
        normsTogether: attention.headNorms == .together,
        rotation: rotations.firstIndex(of: attention.rope) ?? 0),
      query: try matrix("q_proj", attention.queryRows, hidden),
      key: try matrix("k_proj", attention.keyValueRows, hidden),
      value: try matrix("v_proj", attention.keyValueRows, hidden),
      output: try matrix("o_proj", hidden, attention.queryRows),
      queryBias: try bias("q_proj", attention.queryRows, hasBias),
      keyBias: try bias("k_proj", attention.keyValueRows, hasBias),
      valueBias: try bias("v_proj", attention.keyValueRows, hasBias),
      outputBias: try bias("o_proj", hidden, attention.biases == .all),
      queryNorm: try norm("q_norm", attention.queryRows),
      keyNorm: try norm("k_norm", attention.keyValueRows),
      sinks: attention.hasSinks
        ? try resolver.vector(prefix + "self_attn.sinks", count: attention.headCount) : nil,
      gate: attention.hasGate ? try matrix("q_gate_proj", attention.queryRows, hidden) : nil)
  }

  private static func experts(
    _ prefix: String, storeLayer: Int, _ resolver: WeightResolver,
    _ configuration: ModelConfiguration
  ) throws(Failure) -> ExpertsWeights {
    let experts = configuration.experts
    let hidden = configuration.hiddenSize
    var weights = ExpertsWeights(
      router: try resolver.matrix(
        prefix + "mlp.gate.weight", rows: experts.count, columns: hidden), storeLayer: storeLayer)
    if experts.routing.hasBias {
      weights.routerBias = try resolver.vector(prefix + "mlp.gate.bias", count: experts.count)
    }
    if experts.routing.hasCorrection {
      weights.correction = try resolver.vector(
        prefix + "mlp.gate.e_score_correction_bias", count: experts.count)
    }
    if let shared = experts.shared {
      weights.shared = try resolver.swiglu(
        prefix + "mlp.shared_expert", inner: shared.inner, hidden: hidden)
      if shared.isGated {
        weights.sharedGate = try resolver.matrix(
          prefix + "mlp.shared_expert_gate.weight", rows: 1, columns: hidden)
      }
    }
    return weights
  }

  private static func expertShape(
    _ layer: Manifest.Layer, _ prefix: String, _ resolver: WeightResolver,
    _ configuration: ModelConfiguration
  ) throws(Failure) -> ExpertShape {
    let experts = configuration.experts
    let hidden = configuration.hiddenSize
    func places(_ record: RecordLayout) throws(Failure) -> ExpertPlaces {
      guard layer.expertCount == experts.count, let gateUp = record.section("gate_up"),
        let down = record.section("down"),
        case .matrix(let gateUpLayout) = gateUp.layout, case .matrix(let downLayout) = down.layout,
        gateUpLayout.rows == RecordLayout.pairedRows(experts.inner),
        gateUpLayout.columns == hidden, downLayout.rows == hidden,
        downLayout.columns == experts.inner
      else {
        throw Failure(
          .mismatch, resolver.store.path, at: layer.file,
          "its experts do not have the shapes the configuration asks for",
          remedy: "Pack the checkpoint again")
      }
      return ExpertPlaces(
        gateUp: gateUpLayout, gateUpOffset: gateUp.offset, down: downLayout,
        downOffset: down.offset)
    }
    let own = try places(layer.record)
    var cold: (places: ExpertPlaces, isCold: [Bool])?
    if let found = layer.cold { cold = (try places(found.record), found.isCold) }
    var activation = ExpertActivation.swiglu
    if case .clampedSwiGLU(let alpha, let limit) = experts.activation {
      activation.alpha = alpha
      activation.limit = limit
    }
    var downBias: UnsafePointer<Float>?
    if experts.hasBias {
      func bias(_ name: String, _ rows: Int) throws(Failure) -> UnsafePointer<Float> {
        try resolver.vector(prefix + "mlp.experts.\(name).bias", count: experts.count * rows)
      }
      activation.gateBias = try bias("gate_proj", experts.inner)
      activation.upBias = try bias("up_proj", experts.inner)
      downBias = try bias("down_proj", hidden)
    }
    return ExpertShape(
      places: own, cold: cold, inner: experts.inner, usesInt8: resolver.int8Activations,
      activation: activation,
      downBias: downBias)
  }
}
