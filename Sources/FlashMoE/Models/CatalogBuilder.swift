import Checkpoints
import WeightStore

/// Writes a catalogue from a configuration: which tensors there are follows from it alone, and a
/// family's `TensorNames` say what checkpoints call them.
struct CatalogBuilder {
  let configuration: ModelConfiguration
  let names: TensorNames
  let form: CheckpointForm
  private(set) var residents: [TensorCatalog.Resident] = []

  init(_ configuration: ModelConfiguration, names: TensorNames, form: CheckpointForm) {
    self.configuration = configuration
    self.names = names
    self.form = form
  }

  /// - Parameter unused: prefixes of published tensors that play no part, with a reason.
  static func catalog(
    _ configuration: ModelConfiguration, names: TensorNames, form: CheckpointForm,
    unused: [(prefix: String, reason: String)] = []
  ) -> TensorCatalog {
    var builder = CatalogBuilder(configuration, names: names, form: form)
    builder.addAll()
    return TensorCatalog(
      residents: builder.residents,
      expertLayers: configuration.sparseLayers.map { builder.expertLayer($0) }, unused: unused)
  }

  private mutating func addAll() {
    let hidden = configuration.hiddenSize
    add(
      "model.embed_tokens.weight", .embedding, rows: configuration.vocabularySize, columns: hidden)
    for layer in 0..<configuration.layerCount {
      addNorm("input_layernorm", layer: layer)
      switch configuration.mixers[layer] {
      case .attention(let attention): add(attention, layer: layer)
      case .latent(let attention): add(attention, layer: layer)
      case .deltaNet(let net): add(net, layer: layer)
      }
      addNorm("post_attention_layernorm", layer: layer)
      add(configuration.feedForwards[layer], layer: layer)
    }
    add("model.norm.weight", .vector, rows: 1, columns: hidden)
    if configuration.norm.hasBias { add("model.norm.bias", .vector, rows: 1, columns: hidden) }
    if !configuration.tiesEmbeddings {
      add("lm_head.weight", .head, rows: configuration.vocabularySize, columns: hidden)
    }
    if configuration.headHasBias {
      add("lm_head.bias", .vector, rows: 1, columns: configuration.vocabularySize)
    }
  }

  // MARK: Single tensors

  /// A tensor that belongs to no layer.
  mutating func add(_ name: String, _ role: TensorCatalog.Role, rows: Int, columns: Int) {
    append(
      name, role,
      .plain(TensorCatalog.Source(names.tensor(name, form.kind), rows: rows, columns: columns)))
  }

  mutating func append(
    _ name: String, _ role: TensorCatalog.Role, _ arrangement: TensorCatalog.Arrangement
  ) {
    residents.append(TensorCatalog.Resident(name: name, role: role, arrangement: arrangement))
  }

  /// A layer's matrix, by its name within the layer.
  mutating func addMatrix(
    _ suffix: String, layer: Int, _ role: TensorCatalog.Role, rows: Int, columns: Int,
    order: TensorCatalog.Source.Order = .ascending
  ) {
    append(
      "model.layers.\(layer)." + suffix, role,
      .plain(source(suffix, layer: layer, rows: rows, columns: columns, order: order)))
  }

  mutating func addVector(
    _ suffix: String, layer: Int, count: Int, order: TensorCatalog.Source.Order = .ascending
  ) {
    // A reordered vector is a matrix of one column.
    let (rows, columns) = order == .ascending ? (1, count) : (count, 1)
    append(
      "model.layers.\(layer)." + suffix, .vector,
      .plain(source(suffix, layer: layer, rows: rows, columns: columns, order: order)))
  }

  mutating func addNorm(_ name: String, layer: Int) {
    addVector(name + ".weight", layer: layer, count: configuration.hiddenSize)
    if configuration.norm.hasBias {
      addVector(name + ".bias", layer: layer, count: configuration.hiddenSize)
    }
  }

  /// A SwiGLU every token goes through: `PREFIX.gate_up.weight` and `PREFIX.down_proj.weight`.
  mutating func addSwiGLU(_ prefix: String, layer: Int, inner: Int) {
    let hidden = configuration.hiddenSize
    append(
      "model.layers.\(layer).\(prefix).gate_up.weight", .dense,
      .blockedPairs(
        gate: source(prefix + ".gate_proj.weight", layer: layer, rows: inner, columns: hidden),
        up: source(prefix + ".up_proj.weight", layer: layer, rows: inner, columns: hidden)))
    addMatrix(prefix + ".down_proj.weight", layer: layer, .dense, rows: hidden, columns: inner)
  }

  func source(
    _ suffix: String, layer: Int, rows: Int, columns: Int,
    order: TensorCatalog.Source.Order = .ascending
  ) -> TensorCatalog.Source {
    TensorCatalog.Source(
      names.tensor(suffix, layer: layer, form.kind), rows: rows, columns: columns, order: order)
  }

  // MARK: Parts of a layer

  private mutating func add(_ attention: ModelConfiguration.Attention, layer: Int) {
    let hidden = configuration.hiddenSize
    let permutes = form.kind == .gguf && names.ggufInterleavesHeads
    let rotated: TensorCatalog.Source.Order =
      permutes ? .interleavedHalves(headDimension: attention.headDimension) : .ascending
    let projections: [(String, Int, Int, TensorCatalog.Source.Order)] = [
      ("q_proj", attention.queryRows, hidden, rotated),
      ("k_proj", attention.keyValueRows, hidden, rotated),
      ("v_proj", attention.keyValueRows, hidden, .ascending),
      ("o_proj", hidden, attention.queryRows, .ascending),
    ]
    for (name, rows, columns, order) in projections {
      if attention.hasGate, name == "q_proj" {
        addGatedQueries(attention, layer: layer)
        continue
      }
      addMatrix(
        "self_attn.\(name).weight", layer: layer, .attention, rows: rows, columns: columns,
        order: order)
      let hasBias = name == "o_proj" ? attention.biases == .all : attention.biases != .none
      if hasBias { addVector("self_attn.\(name).bias", layer: layer, count: rows, order: order) }
    }
    switch attention.headNorms {
    case .none: break
    case .each:
      addVector("self_attn.q_norm.weight", layer: layer, count: attention.headDimension)
      addVector("self_attn.k_norm.weight", layer: layer, count: attention.headDimension)
    case .together:
      addVector("self_attn.q_norm.weight", layer: layer, count: attention.queryRows)
      addVector("self_attn.k_norm.weight", layer: layer, count: attention.keyValueRows)
    }
    if attention.hasSinks {
      addVector("self_attn.sinks", layer: layer, count: attention.headCount)
    }
  }

  private mutating func add(_ kind: ModelConfiguration.FeedForward, layer: Int) {
    switch kind {
    case .dense(let inner): addSwiGLU("mlp", layer: layer, inner: inner)
    case .experts:
      let experts = configuration.experts
      addMatrix(
        "mlp.gate.weight", layer: layer, .router, rows: experts.count,
        columns: configuration.hiddenSize)
      if experts.routing.hasBias {
        addVector("mlp.gate.bias", layer: layer, count: experts.count)
      }
      if experts.routing.hasCorrection {
        addVector("mlp.gate.e_score_correction_bias", layer: layer, count: experts.count)
      }
      if experts.hasBias { addExpertBiases(layer) }
      guard let shared = experts.shared else { return }
      addSwiGLU("mlp.shared_expert", layer: layer, inner: shared.inner)
      if shared.isGated {
        addMatrix(
          "mlp.shared_expert_gate.weight", layer: layer, .router, rows: 1,
          columns: configuration.hiddenSize)
      }
    }
  }
}
