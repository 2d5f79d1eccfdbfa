import Glibc
import Support
import WeightStore

/// Pointers to one layer's resident weights.
struct LayerWeights {
  struct Biases {
    var query: UnsafePointer<Float>
    var key: UnsafePointer<Float>
    var value: UnsafePointer<Float>
    var output: UnsafePointer<Float>
  }

  enum FeedForward {
    /// `storeLayer` is the index among the store's expert layers.
    case experts(router: Matrix, storeLayer: Int)
    case dense(gateUp: Matrix, down: Matrix, inner: Int)
  }

  var inputNorm: UnsafePointer<Float>
  var query: Matrix
  var key: Matrix
  var value: Matrix
  var output: Matrix
  var biases: Biases?
  var queryNorm: UnsafePointer<Float>?
  var keyNorm: UnsafePointer<Float>?
  var feedForwardNorm: UnsafePointer<Float>
  var feedForward: FeedForward
}

/// The two matrices of an expert relative to the start of its record.
struct ExpertShape {
  var gateUp: MatrixLayout
  var gateUpOffset: Int
  var down: MatrixLayout
  var downOffset: Int
  var inner: Int
  var usesInt8: Bool

  @inline(__always)
  func gateUp(_ record: UnsafeRawPointer) -> Matrix {
    Matrix(gateUp, at: record + gateUpOffset, int8Activations: usesInt8)
  }

  @inline(__always)
  func down(_ record: UnsafeRawPointer) -> Matrix {
    Matrix(down, at: record + downOffset, int8Activations: usesInt8)
  }
}

/// All resident weights, loaded into the arena and checked.
struct ModelWeights {
  var embedding: Matrix
  var head: Matrix
  var finalNorm: UnsafePointer<Float>
  var layers: [LayerWeights]
  /// One entry for each expert layer of the store.
  var experts: [ExpertShape]
}

/// Looks tensors up by name and checks that they have the shape the model needs.
struct WeightResolver {
  let store: Store
  let base: UnsafeRawPointer
  let int8Activations: Bool
  private let byName: [String: Manifest.ResidentTensor]

  init(store: Store, base: UnsafeRawPointer, int8Activations: Bool) {
    self.store = store
    self.base = base
    self.int8Activations = int8Activations
    var byName: [String: Manifest.ResidentTensor] = [:]
    for tensor in store.manifest.residents { byName[tensor.name] = tensor }
    self.byName = byName
  }

  private func tensor(_ name: String) throws(Failure) -> Manifest.ResidentTensor {
    guard let tensor = byName[name] else {
      throw Failure(
        .mismatch, store.path, at: name, "the store lacks this tensor",
        remedy: "Pack the checkpoint again")
    }
    return tensor
  }

  func matrix(_ name: String, rows: Int, columns: Int) throws(Failure) -> Matrix {
    let tensor = try tensor(name)
    guard case .matrix(let layout) = tensor.layout, layout.rows == rows, layout.columns == columns
    else {
      throw Failure(
        .mismatch, store.path, at: name,
        "its shape is not the \(rows) x \(columns) that the configuration asks for",
        remedy: "Pack the checkpoint again")
    }
    return Matrix(layout, at: base + tensor.offset, int8Activations: int8Activations)
  }

  func vector(_ name: String, count: Int) throws(Failure) -> UnsafePointer<Float> {
    let tensor = try tensor(name)
    guard tensor.layout == .vector(count: count) else {
      throw Failure(
        .mismatch, store.path, at: name, "it does not hold the \(count) values expected",
        remedy: "Pack the checkpoint again")
    }
    return (base + tensor.offset).assumingMemoryBound(to: Float.self)
  }

  func expertShape(_ layer: Manifest.Layer, _ configuration: ModelConfiguration) throws(Failure)
    -> ExpertShape
  {
    let experts = configuration.experts
    let hidden = configuration.hiddenSize
    guard layer.expertCount == experts.count, let gateUp = layer.record.section("gate_up"),
      let down = layer.record.section("down"),
      case .matrix(let gateUpLayout) = gateUp.layout, case .matrix(let downLayout) = down.layout,
      gateUpLayout.rows == RecordLayout.pairedRows(experts.inner),
      gateUpLayout.columns == hidden, downLayout.rows == hidden,
      downLayout.columns == experts.inner
    else {
      throw Failure(
        .mismatch, store.path, at: layer.file,
        "its experts do not have the shapes the configuration asks for",
        remedy: "Pack the checkpoint again")
    }
    return ExpertShape(
      gateUp: gateUpLayout, gateUpOffset: gateUp.offset, down: downLayout, downOffset: down.offset,
      inner: experts.inner, usesInt8: int8Activations)
  }
}

extension ModelWeights {
  init(_ resolver: WeightResolver, _ configuration: ModelConfiguration) throws(Failure) {
    let hidden = configuration.hiddenSize
    let vocabulary = configuration.vocabularySize
    embedding = try resolver.matrix("model.embed_tokens.weight", rows: vocabulary, columns: hidden)
    head =
      configuration.tiesEmbeddings
      ? embedding : try resolver.matrix("lm_head.weight", rows: vocabulary, columns: hidden)
    finalNorm = try resolver.vector("model.norm.weight", count: hidden)
    let stored = resolver.store.manifest.layers
    guard stored.map(\.layer) == configuration.sparseLayers else {
      throw Failure(
        .mismatch, resolver.store.path, at: "layers",
        "the store's expert layers are not those of the configuration",
        remedy: "Pack the checkpoint again")
    }
    var layers: [LayerWeights] = []
    var storeLayer = 0
    for layer in 0..<configuration.layerCount {
      layers.append(try Self.layer(layer, storeLayer: storeLayer, resolver, configuration))
      if configuration.feedForwards[layer] == .experts { storeLayer += 1 }
    }
    self.layers = layers
    var experts: [ExpertShape] = []
    for layer in stored { experts.append(try resolver.expertShape(layer, configuration)) }
    self.experts = experts
  }

  private static func layer(
    _ number: Int, storeLayer: Int, _ resolver: WeightResolver,
    _ configuration: ModelConfiguration
  ) throws(Failure) -> LayerWeights {
    let prefix = "model.layers.\(number)."
    let attention = configuration.attention
    let hidden = configuration.hiddenSize
    var biases: LayerWeights.Biases?
    if attention.hasBias {
      func bias(_ name: String, _ count: Int) throws(Failure) -> UnsafePointer<Float> {
        try resolver.vector(prefix + "self_attn.\(name).bias", count: count)
      }
      biases = LayerWeights.Biases(
        query: try bias("q_proj", attention.queryRows),
        key: try bias("k_proj", attention.keyValueRows),
        value: try bias("v_proj", attention.keyValueRows), output: try bias("o_proj", hidden))
    }
    let feedForward: LayerWeights.FeedForward
    switch configuration.feedForwards[number] {
    case .experts:
      let router = try resolver.matrix(
        prefix + "mlp.gate.weight", rows: configuration.experts.count, columns: hidden)
      feedForward = .experts(router: router, storeLayer: storeLayer)
    case .dense(let inner):
      feedForward = .dense(
        gateUp: try resolver.matrix(
          prefix + "mlp.gate_up.weight", rows: RecordLayout.pairedRows(inner), columns: hidden),
        down: try resolver.matrix(
          prefix + "mlp.down_proj.weight", rows: hidden, columns: inner),
        inner: inner)
    }
    let headNorms = attention.normalizesHeads
    return LayerWeights(
      inputNorm: try resolver.vector(prefix + "input_layernorm.weight", count: hidden),
      query: try resolver.matrix(
        prefix + "self_attn.q_proj.weight", rows: attention.queryRows, columns: hidden),
      key: try resolver.matrix(
        prefix + "self_attn.k_proj.weight", rows: attention.keyValueRows, columns: hidden),
      value: try resolver.matrix(
        prefix + "self_attn.v_proj.weight", rows: attention.keyValueRows, columns: hidden),
      output: try resolver.matrix(
        prefix + "self_attn.o_proj.weight", rows: hidden, columns: attention.queryRows),
      biases: biases,
      queryNorm: headNorms
        ? try resolver.vector(prefix + "self_attn.q_norm.weight", count: attention.headDimension)
        : nil,
      keyNorm: headNorms
        ? try resolver.vector(prefix + "self_attn.k_norm.weight", count: attention.headDimension)
        : nil,
      feedForwardNorm: try resolver.vector(
        prefix + "post_attention_layernorm.weight", count: hidden),
      feedForward: feedForward)
  }
}
