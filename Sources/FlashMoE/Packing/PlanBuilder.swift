import Support
import WeightStore

/// Turns a catalog into a pack plan, wherever the rows come from.
struct PlanBuilder {
  private var decision: SchemeDecision
  private let mixed: MixedPrecision?
  private let importance: Importance?
  private let source: (TensorCatalog.Source, TensorCatalog.Role?) throws(Failure) -> any RowSource

  /// - Parameter source: the rows of one source; the role is nil for routed experts.
  init(
    _ options: PackingOptions,
    source: @escaping (TensorCatalog.Source, TensorCatalog.Role?) throws(Failure) -> any RowSource
  ) {
    decision = SchemeDecision(options)
    mixed = options.mixedPrecision
    importance = options.importance
    self.source = source
  }

  mutating func build(_ catalog: TensorCatalog) throws(Failure) -> (
    residents: [PackPlan.Resident], layers: [PackPlan.Layer]
  ) {
    var residents: [PackPlan.Resident] = []
    for tensor in catalog.residents {
      let rows = try rows(tensor.arrangement, tensor.role)
      let layout: TensorLayout =
        tensor.role == .vector
        ? .vector(count: tensor.arrangement.rows * tensor.arrangement.columns)
        : .matrix(
          MatrixLayout(
            rows: tensor.arrangement.rows, columns: tensor.arrangement.columns,
            scheme: decision.resident(tensor.name, role: tensor.role, formats: rows.formats)))
      residents.append(
        PackPlan.Resident(
          name: tensor.name, tensorClass: tensor.role.rawValue, layout: layout, rows: rows))
    }
    var layers: [PackPlan.Layer] = []
    try mixed?.check(catalog)
    try importance?.check(catalog)
    for (at, layer) in catalog.expertLayers.enumerated() {
      layers.append(try build(layer, isCold: mixed?.isCold(layer: at)))
    }
    try decision.checkOverrides()
    return (residents, layers)
  }

  /// All experts of a layer share a layout, or cold ones have one of their own; a section's scheme is
  /// decided over all of them.
  private mutating func build(_ layer: TensorCatalog.ExpertLayer, isCold: [Bool]?)
    throws(Failure) -> PackPlan.Layer
  {
    var sections: [(name: String, layout: TensorLayout)] = []
    var coldSections: [(name: String, layout: TensorLayout)] = []
    var experts: [[PackPlan.Rows]] = Array(repeating: [], count: layer.expertCount)
    for (name, arrangements) in [("gate_up", layer.gateUp), ("down", layer.down)] {
      guard arrangements.count == layer.expertCount, let first = arrangements.first else {
        throw Failure(.mismatch, "catalog", at: "layer \(layer.layer)", "lacks experts")
      }
      var formats: Set<SourceFormat> = []
      for (expert, arrangement) in arrangements.enumerated() {
        let rows = try rows(arrangement, nil)
        formats.formUnion(rows.formats)
        experts[expert].append(rows)
      }
      let schemes = decision.experts("layers.\(layer.layer).experts.\(name)", formats: formats)
      func layout(_ scheme: Scheme) -> TensorLayout {
        .matrix(MatrixLayout(rows: first.rows, columns: first.columns, scheme: scheme))
      }
      sections.append((name, layout(schemes.own)))
      coldSections.append((name, layout(schemes.cold)))
    }
    var planned = PackPlan.Layer(
      number: layer.layer, record: RecordLayout(sections), experts: experts)
    let cold = RecordLayout(coldSections)
    if let isCold, isCold.contains(true), cold != planned.record { planned.cold = (cold, isCold) }
    if let importance {
      planned.importance = { expert, section throws(Failure) in
        try importance.columns(layer: layer.layer, section: section, expert: expert)
      }
    }
    return planned
  }

  private func rows(_ arrangement: TensorCatalog.Arrangement, _ role: TensorCatalog.Role?)
    throws(Failure) -> PackPlan.Rows
  {
    switch arrangement {
    case .plain(let only):
      return role == .vector && only.rows > 1
        ? .plain(FlatRows(base: try source(only, role))) : .plain(try source(only, role))
    case .blockedPairs(let gate, let up):
      return .blockedPairs(gate: try source(gate, role), up: try source(up, role))
    case .heads(let sources):
      var parts: [any RowSource] = []
      for part in sources { parts.append(try source(part, role)) }
      guard let stacked = StackedRows(parts) else {
        throw Failure(
          .mismatch, "catalog", at: sources.first?.tensor, "its parts differ in shape or type")
      }
      return .plain(stacked)
    }
  }
}

extension PackPlan.Rows {
  var formats: Set<SourceFormat> { Set(sources.map(\.format)) }
}
