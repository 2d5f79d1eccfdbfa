import Checkpoints
import WeightStore

/// The routed experts' tensors in the forms they are published in.
extension CatalogBuilder {
  private enum Projection: String {
    case gate, up, down
  }

  /// The stacked tensors of a layer, where this checkpoint has its experts in such.
  private func stacked(_ layer: Int) -> TensorNames.Stacked? {
    guard form.kind == .huggingFace else { return nil }
    if case .stacked(let names) = names.experts { return names }
    // transformers 5 may write any family's experts this way.
    let later = TensorNames.Stacked(
      gateUp: "mlp.experts.gate_up_proj", down: "mlp.experts.down_proj")
    return form.contains(names.tensor(later.gateUp, layer: layer, form.kind)) ? later : nil
  }

  private func source(_ projection: Projection, layer: Int, expert: Int) -> TensorCatalog.Source {
    let hidden = configuration.hiddenSize
    let inner = configuration.experts.inner
    let (rows, columns) = projection == .down ? (hidden, inner) : (inner, hidden)
    if let stacked = stacked(layer) {
      let isPair = projection != .down
      let name = isPair ? stacked.gateUp : stacked.down
      let all = isPair ? 2 * inner : hidden
      var first = expert * all
      if projection == .up { first += stacked.alternates ? 1 : inner }
      return TensorCatalog.Source(
        names.tensor(name, layer: layer, form.kind), firstRow: first, rows: rows, columns: columns,
        rowStep: isPair && stacked.alternates ? 2 : 1,
        transposedRows: stacked.isTransposed ? all : nil)
    }
    switch (form.kind, names.experts) {
    case (.huggingFace, .each(let prefix, let gate, let up, let down)):
      let leaf = [Projection.gate: gate, .up: up, .down: down][projection] ?? down
      return TensorCatalog.Source(
        names.tensor("\(prefix).\(expert).\(leaf)", layer: layer, form.kind), rows: rows,
        columns: columns)
    default:
      // Files made before llama.cpp stacked experts have a tensor each.
      let single = "blk.\(layer).ffn_\(projection.rawValue).\(expert).weight"
      if form.contains(single) {
        return TensorCatalog.Source(single, rows: rows, columns: columns)
      }
      return TensorCatalog.Source(
        "blk.\(layer).ffn_\(projection.rawValue)_exps.weight", firstRow: expert * rows, rows: rows,
        columns: columns)
    }
  }

  func expertLayer(_ layer: Int) -> TensorCatalog.ExpertLayer {
    let experts = 0..<configuration.experts.count
    return TensorCatalog.ExpertLayer(
      layer: layer, expertCount: experts.count,
      gateUp: experts.map {
        .blockedPairs(
          gate: source(.gate, layer: layer, expert: $0),
          up: source(.up, layer: layer, expert: $0))
      },
      down: experts.map { .plain(source(.down, layer: layer, expert: $0)) })
  }

  /// Biases of all experts of a layer, one after another, as three vectors.
  mutating func addExpertBiases(_ layer: Int) {
    let experts = configuration.experts
    let (count, inner, hidden) = (experts.count, experts.inner, configuration.hiddenSize)
    let store = "model.layers.\(layer).mlp.experts."
    guard let stacked = stacked(layer) else {
      addVector("mlp.experts.gate_proj.bias", layer: layer, count: count * inner)
      addVector("mlp.experts.up_proj.bias", layer: layer, count: count * inner)
      addVector("mlp.experts.down_proj.bias", layer: layer, count: count * hidden)
      return
    }
    let pair = names.tensor(stacked.gateUp + "_bias", layer: layer, form.kind)
    for (at, name) in ["gate_proj", "up_proj"].enumerated() {
      let order: TensorCatalog.Source.Order =
        stacked.alternates
        ? .ascending
        : .rows(
          (0..<count * inner).map { $0 / inner * 2 * inner + at * inner + $0 % inner })
      append(
        store + name + ".bias", .vector,
        .plain(
          TensorCatalog.Source(
            pair, firstRow: stacked.alternates ? at : 0, rows: count * inner, columns: 1,
            rowStep: stacked.alternates ? 2 : 1, order: order)))
    }
    append(
      store + "down_proj.bias", .vector,
      .plain(
        TensorCatalog.Source(
          names.tensor(stacked.down + "_bias", layer: layer, form.kind), rows: 1,
          columns: count * hidden)))
  }
}
