import Checkpoints
import FlashMoE
import Support

/// Numbers people know a model by, computed from its architecture.
struct ModelFacts {
  let configuration: ModelConfiguration
  let totalParameters: Int
  /// Parameters one token goes through: all but the experts it is not routed to.
  let activeParameters: Int

  init(_ family: any ModelFamily.Type, _ configuration: ModelConfiguration) {
    self.configuration = configuration
    let catalog = family.catalog(configuration, form: .published)
    var resident = 0
    for tensor in catalog.residents { resident += Self.weights(tensor.arrangement) }
    var routed = 0
    var active = 0
    for layer in catalog.expertLayers {
      let all = (layer.gateUp + layer.down).reduce(0) { $0 + Self.weights($1) }
      routed += all
      active += all / max(layer.expertCount, 1) * configuration.experts.perToken
    }
    totalParameters = resident + routed
    activeParameters = resident + active
  }

  private static func weights(_ arrangement: TensorCatalog.Arrangement) -> Int {
    switch arrangement {
    case .plain(let source): source.rows * source.columns
    case .blockedPairs(let gate, let up): gate.rows * gate.columns + up.rows * up.columns
    case .heads(let sources): sources.reduce(0) { $0 + $1.rows * $1.columns }
    }
  }

  var json: JSONObject {
    var json: JSONObject = [
      "model_type": .string(configuration.modelType),
      "layers": .integer(configuration.layerCount),
      "expert_layers": .integer(configuration.sparseLayers.count),
      "experts": .integer(configuration.experts.count),
      "experts_per_token": .integer(configuration.experts.perToken),
      "hidden_size": .integer(configuration.hiddenSize),
      "expert_inner_size": .integer(configuration.experts.inner),
      "vocabulary": .integer(configuration.vocabularySize),
      "maximum_context": .integer(configuration.maximumPositions),
      "tied_embeddings": .bool(configuration.tiesEmbeddings),
      "kv_bytes_per_token": .object(
        KeyValueType.allCases.reduce(into: JSONObject()) {
          $0[$1.rawValue] = .integer($1.bytesPerPosition(configuration))
        }),
      "parameters": .integer(totalParameters),
      "active_parameters": .integer(activeParameters),
    ]
    if let attention = configuration.latentAttentions.first {
      json["heads"] = .integer(attention.headCount)
      json["latent_dimension"] = .integer(attention.rank)
      json["rotated_key_dimension"] = .integer(attention.rotatedDimension)
    }
    if !configuration.deltaNets.isEmpty {
      json["delta_net_layers"] = .integer(configuration.deltaNets.count)
      json["recurrent_state_bytes"] = .integer(configuration.recurrentStateBytes)
    }
    if let attention = configuration.attentions.first {
      json["heads"] = .integer(attention.headCount)
      json["key_value_heads"] = .integer(attention.keyValueHeadCount)
      json["head_dimension"] = .integer(attention.headDimension)
    }
    return json
  }

  func add(to table: inout Table) {
    let model = configuration
    table.add("architecture", model.modelType)
    let dense = model.layerCount - model.sparseLayers.count
    table.add(
      "layers",
      "\(model.layerCount)" + (dense > 0 ? ", \(dense) of them dense" : "")
        + ", hidden size \(model.hiddenSize)")
    if let attention = model.attentions.first {
      let windowed = model.attentions.filter { $0.window != nil }
      let window = windowed.first?.window.map { ", a window of \($0) in \(windowed.count) layers" }
      table.add(
        "attention",
        "\(attention.headCount) heads, \(attention.keyValueHeadCount) for keys and "
          + "values, of \(attention.headDimension)" + (window ?? ""))
    }
    if let attention = model.latentAttentions.first {
      table.add(
        "latent attention",
        "\(attention.headCount) heads over \(attention.rank) compressed numbers and a key of "
          + "\(attention.rotatedDimension)")
    }
    if let net = model.deltaNets.first {
      table.add(
        "gated DeltaNet",
        "in \(model.deltaNets.count) layers, \(net.valueHeadCount) heads of "
          + "\(net.keyDimension) × \(net.valueDimension), "
          + ByteCount.format(model.recurrentStateBytes) + " in all")
    }
    table.add(
      "keys and values",
      ByteCount.format(KeyValueType.f16.bytesPerPosition(model)) + " a token, "
        + ByteCount.format(KeyValueType.q8.bytesPerPosition(model)) + " with --kv q8 (lossy)")
    if !model.sparseLayers.isEmpty {
      table.add(
        "experts",
        "\(model.experts.count) a layer, top-\(model.experts.perToken), "
          + "inner size \(model.experts.inner)")
    }
    table.add(
      "parameters", "\(Self.count(totalParameters)), \(Self.count(activeParameters)) active")
    table.add("vocabulary", "\(model.vocabularySize)")
    table.add("context", "up to \(model.maximumPositions)")
  }

  /// `30.5 B`, `41.2 M`.
  static func count(_ number: Int) -> String {
    let value = Double(number)
    if value >= 1e9 { return ByteCount.significant(value / 1e9) + " B" }
    if value >= 1e6 { return ByteCount.significant(value / 1e6) + " M" }
    return value >= 1e3 ? ByteCount.significant(value / 1e3) + " K" : "\(number)"
  }
}
