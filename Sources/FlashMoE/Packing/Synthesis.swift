import Checkpoints
import Glibc
import Support
import WeightStore

/// Stores of a real model's exact shape with random weights: disk, RAM and speed can be measured
/// before the model is downloaded.
public enum Synthesis {
  /// A plan whose rows are made up as they are asked for; the same seed gives the same store.
  ///
  /// Matrices are 4-bit blocks of zero mean: with a mean, all hidden states would share one
  /// direction and every token would choose the same experts.  Gains keep tokens distinct through
  /// all layers.
  ///
  /// - Parameters:
  ///   - layers: fewer (or more) layers than the shape has; nil for all.
  ///   - skew: spread of the router rows' log-normal norms: 0 makes all experts equally popular,
  ///     the worst case for a cache; trained routers lie near 0.5.
  ///   - aliasBytes: the size of a pool of records that all layers share; nil gives every expert a
  ///     record of its own.
  ///   - options: schemes; automatic keeps 4 bits everywhere, residents too.
  /// - Throws: `Failure(.usage)` for layers, skew, pools or schemes that cannot be.
  public static func plan(
    _ shape: ModelShape, layers: Int? = nil, skew: Double = 0.5, seed: UInt64 = 1,
    aliasBytes: Int? = nil, options: PackingOptions = PackingOptions()
  ) throws(Failure) -> PackPlan {
    let layerCount = layers ?? shape.layers
    guard (1...4096).contains(layerCount) else {
      throw Failure(.usage, "--layers", "\(layerCount) is not from 1 to 4096")
    }
    guard skew.isFinite, (0...4).contains(skew) else {
      throw Failure(.usage, "--skew", "\(skew) is not from 0 to 4")
    }
    let name = "synthetic-\(shape.name)"
    let config = shape.config(layers: layerCount)
    let (family, configuration) = try ModelRegistry.read(config, subject: name)
    let catalog = family.catalog(configuration, form: .published)
    var builder = PlanBuilder(options) { source, role throws(Failure) in
      rows(
        of: source, role: role, shape: shape, norm: configuration.norm.kind, skew: skew, seed: seed,
        subject: name)
    }
    let (residents, planned) = try builder.build(catalog)
    let source: JSONObject = [
      "format": .string("synthetic"), "shape": .string(shape.name),
      "layers": .integer(layerCount), "skew": .number(skew), "seed": .string("\(seed)"),
    ]
    var plan = PackPlan(
      name: options.name ?? name, config: config, residents: residents, layers: planned,
      source: source, sourceIdentity: ["synthetic \(SyntheticMatrix.version)"],
      searchesScales: options.searchesScales)
    if let aliasBytes { try plan.alias(to: aliasBytes) }
    return plan
  }

  private static func rows(
    of source: TensorCatalog.Source, role: TensorCatalog.Role?, shape: ModelShape,
    norm: ModelConfiguration.Norm.Kind, skew: Double, seed: UInt64, subject: String
  ) -> any RowSource {
    let key = RandomBits.key(seed, source.tensor)
    switch role {
    case .vector:
      let name = source.tensor
      // A zero-centred norm weighs with 1 where it holds 0; a decay rate of 1 has the logarithm 0.
      let isCentred = norm == .rootMeanSquarePlusOne && !name.hasSuffix("linear_attn.norm.weight")
      let isNeutral =
        name.hasSuffix("bias") || name.hasSuffix("sinks") || name.hasSuffix("A_log")
        || isCentred && name.hasSuffix("norm.weight")
      return SyntheticConstant(
        subject: subject, name: source.tensor, rows: source.rows, columns: source.columns,
        value: isNeutral ? 0 : 1)
    case .router:
      return SyntheticRouter(
        subject: subject, name: source.tensor, rows: source.rows, columns: source.columns,
        key: key, skew: skew)
    default:
      var gain = 1.0
      if role == .embedding { gain = Double(shape.hidden).squareRoot() }
      if source.tensor.contains("o_proj") || source.tensor.contains("out_proj") { gain = 0.3 }
      if source.tensor.contains("down_proj") { gain = 0.5 }
      return SyntheticMatrix(
        subject: subject, name: source.tensor, rows: source.rows, columns: source.columns,
        key: key, gain: gain)
    }
  }
}
