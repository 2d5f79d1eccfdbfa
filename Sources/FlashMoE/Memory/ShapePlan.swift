import Support
import WeightStore

/// What a model of a known shape needs, before anything of it was downloaded.
public struct ShapePlan: Sendable {
  public let shape: ModelShape
  /// Bytes of its store on disk, 4-bit throughout.
  public let storeBytes: Int
  /// Bytes of all routed experts.
  public let expertBytes: Int
  /// Parameters a token goes through.
  public let activeParameters: Int
  /// The least budget for the context asked for.
  public let minimumBytes: Int
  /// nil where the budget is too small.
  public let plan: MemoryPlan?

  /// - Parameter options: budget and context; a context longer than the model's is cut to it.
  /// - Throws: `Failure` for options that no model could have.
  public init(_ shape: ModelShape, options: EngineOptions) throws(Failure) {
    let packing = try Synthesis.plan(shape)
    let manifest = packing.outline
    let configuration = try ModelRegistry.read(packing.config, subject: shape.name).configuration
    var options = options
    options.contextLength = options.contextLength.map { min($0, configuration.maximumPositions) }
    func plan(_ options: EngineOptions) throws(Failure) -> MemoryPlan {
      try MemoryPlanner(
        manifest: manifest, configuration: configuration, options: options, subject: shape.name
      ).plan()
    }
    var unlimited = options
    unlimited.budgetBytes = 1 << 50
    minimumBytes = try plan(unlimited).minimumBytes
    do throws(Failure) {
      self.plan = try plan(options)
    } catch {
      guard error.kind == .budget else { throw error }
      self.plan = nil
    }
    self.shape = shape
    storeBytes = packing.storeBytes
    expertBytes = packing.expertBytes
    var active = packing.residents.reduce(0) { $0 + Self.weights($1) }
    for layer in packing.layers {
      let one = layer.experts.first?.reduce(0) {
        $0 + $1.sources.reduce(0) { $0 + $1.rows * $1.columns }
      }
      active += (one ?? 0) * configuration.experts.perToken
    }
    activeParameters = active
  }

  /// Weights a token is multiplied by; of the embedding it reads one row.
  private static func weights(_ resident: PackPlan.Resident) -> Int {
    guard resident.name != "model.embed_tokens.weight" else { return 0 }
    return resident.rows.sources.reduce(0) { $0 + $1.rows * $1.columns }
  }
}
