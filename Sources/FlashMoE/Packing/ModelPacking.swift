import Checkpoints
import Glibc
import Support
import WeightStore

/// From a checkpoint to a pack plan: which model it is, which tensors it needs, in which schemes.
public enum ModelPacking {
  /// Reads and checks everything but the weights themselves.
  ///
  /// - Throws: `Failure` naming file, tensor or key: an unknown architecture, a missing tensor, a
  ///   wrong shape, an unsupported type, a pattern that matches nothing, a bad tokenizer.
  public static func plan(checkpoint: Checkpoint, options: PackingOptions = PackingOptions())
    throws(Failure) -> PackPlan
  {
    let (config, family, configuration) = try model(of: checkpoint)
    let catalog = family.catalog(configuration, form: CheckpointForm(checkpoint))
    let tensors = try CheckpointTensors(checkpoint, catalog: catalog)
    var builder = PlanBuilder(options) { source, _ throws(Failure) in try tensors.rows(source) }
    let (residents, layers) = try builder.build(catalog)
    var warnings: [String] = []
    let companions = try PackingCompanions.collect(checkpoint, warnings: &warnings)
    warnings += try unused(tensors, catalog)
    return PackPlan(
      name: options.name ?? name(of: checkpoint), config: config, companions: companions,
      residents: residents, layers: layers, source: source(checkpoint, options),
      sourceIdentity: try identity(of: checkpoint) + [options.importance?.identity ?? ""],
      warnings: warnings,
      searchesScales: options.searchesScales, dropSourceCache: { checkpoint.dropCache() })
  }

  /// The model a checkpoint holds: its `config.json` (made from metadata for GGUF), its family and
  /// its configuration.
  public static func model(of checkpoint: Checkpoint) throws(Failure) -> (
    config: JSONValue, family: any ModelFamily.Type, configuration: ModelConfiguration
  ) {
    let (config, subject) = try ModelRegistry.config(of: checkpoint)
    let (family, configuration) = try ModelRegistry.read(config, subject: subject)
    return (config, family, configuration)
  }

  private static func name(of checkpoint: Checkpoint) -> String {
    var name = FileSystem.name(of: checkpoint.path)
    // The first part of a split model: NAME-00001-of-00003.gguf.
    if checkpoint.files.count > 1, checkpoint.kind == .gguf, name.count > 20 {
      name = String(name.dropLast(20)) + ".gguf"
    }
    return name.hasSuffix(".gguf") && name.count > 5 ? String(name.dropLast(5)) : name
  }

  /// What the manifest says about the source; nothing here depends on where or when it was packed.
  private static func source(_ checkpoint: Checkpoint, _ options: PackingOptions) -> JSONObject {
    var source: JSONObject = [
      "format": .string(checkpoint.kind == .gguf ? "gguf" : "safetensors"),
      "files": .array(checkpoint.files.map { .string(FileSystem.name(of: $0)) }),
      "experts": .string(options.experts.name),
      "residents": .string(options.residents.name),
      "quantizer": .string(
        options.importance != nil ? "weighted-search" : options.searchesScales ? "search" : "round"),
    ]
    if let mixed = options.mixedPrecision {
      source["experts"] = .string(mixed.hot.rawValue)
      source["cold_experts"] = .object([
        "scheme": .string(mixed.cold.rawValue), "share": .number(mixed.coldShare),
      ])
    }
    if !options.overrides.isEmpty {
      source["overrides"] = .array(
        options.overrides.map { .string("\($0.pattern)=\($0.choice.name)") })
    }
    return source
  }

  /// Tells one state of the source files from another, without reading the weights.
  private static func identity(of checkpoint: Checkpoint) throws(Failure) -> [String] {
    var lines: [String] = []
    for path in checkpoint.files {
      var status = stat()
      guard stat(path, &status) == 0 else {
        throw Failure.system(path, "cannot read its size", errno)
      }
      lines.append(
        "\(FileSystem.name(of: path)) \(status.st_size) \(status.st_mtim.tv_sec) "
          + "\(status.st_mtim.tv_nsec)")
    }
    for name in checkpoint.tensors.keys.sorted() {
      guard let tensor = checkpoint.tensors[name] else { continue }
      lines.append(
        "\(name) \(tensor.type.rawValue) \(tensor.shape) \(tensor.file) \(tensor.offset)")
    }
    return lines
  }

  /// One warning for each reason, or for all tensors nobody knows.
  private static func unused(_ tensors: CheckpointTensors, _ catalog: TensorCatalog) throws(Failure)
    -> [String]
  {
    var wanted: Set<String> = []
    for name in Set(catalog.sources.map(\.tensor)) { wanted.formUnion(try tensors.parts(of: name)) }
    var reasons: [(reason: String, names: [String])] = []
    for name in tensors.checkpoint.tensors.keys.sorted() where !wanted.contains(name) {
      let known = catalog.unused.first { name.hasPrefix($0.prefix) }?.reason
      let reason = known ?? "no part of this architecture as it is configured"
      if let at = reasons.firstIndex(where: { $0.reason == reason }) {
        reasons[at].names.append(name)
      } else {
        reasons.append((reason, [name]))
      }
    }
    return reasons.map { reason, names in
      let more = names.count > 3 ? " and \(names.count - 3) more" : ""
      return "not packed: \(names.prefix(3).joined(separator: ", "))\(more) (\(reason))"
    }
  }
}
