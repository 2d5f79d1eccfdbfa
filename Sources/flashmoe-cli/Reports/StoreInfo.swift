import FlashMoE
import Support
import WeightStore

/// What `info` says about a store.
struct StoreInfo {
  private let store: Store
  private let manifest: Manifest
  private let facts: ModelFacts

  init(_ store: Store) throws(Failure) {
    self.store = store
    manifest = store.manifest
    let (family, configuration) = try ModelRegistry.read(
      store.manifest.config, subject: store.filePath(Manifest.fileName) + ", config")
    facts = ModelFacts(family, configuration)
  }

  func print(json: Bool, tensors: Bool) {
    if json { printJSON(tensors: tensors) } else { printText(tensors: tensors) }
  }

  private var recordBytes: Int { manifest.layers.map(\.record.stride).max() ?? 0 }

  private var routedBytesPerToken: Int {
    manifest.layers.reduce(0) {
      $0 + $1.record.stride * facts.configuration.experts.perToken
    }
  }

  /// Schemes in use and how many tensors have each, most first.
  private static func schemes(_ layouts: [TensorLayout]) -> String {
    var counts: [String: Int] = [:]
    for layout in layouts { counts[name(layout), default: 0] += 1 }
    return counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key)
      .joined(separator: ", ")
  }

  private static func name(_ layout: TensorLayout) -> String {
    if case .matrix(let matrix) = layout { return matrix.scheme.rawValue }
    return "f32 vector"
  }

  private static func shape(_ layout: TensorLayout) -> [Int] {
    switch layout {
    case .matrix(let matrix): [matrix.rows, matrix.columns]
    case .vector(let count): [count]
    }
  }

  /// What calibration left, or why that cannot be used.
  private var profileText: String? {
    do throws(Failure) {
      return try Profile(of: store).map { ProfileReport($0).summary }
    } catch {
      return "unusable: \(error.problem)"
    }
  }

  private var expertSchemes: String {
    Self.schemes(manifest.layers.flatMap { $0.records.flatMap(\.sections).map(\.layout) })
  }

  private var residentSchemes: String {
    Self.schemes(
      manifest.residents.map(\.layout).filter {
        if case .matrix = $0 { true } else { false }
      })
  }

  private func printText(tensors: Bool) {
    var table = Table(.left, .left)
    table.add("store", store.path)
    if let note = manifest.aliasNote { table.add("note", note) }
    facts.add(to: &table)
    table.add(
      "resident weights", "\(ByteCount.format(manifest.residentBytes)), \(residentSchemes)")
    if !manifest.layers.isEmpty {
      table.add(
        "experts",
        "\(ByteCount.format(manifest.expertBytes)) in \(manifest.recordCount) records of "
          + "\(ByteCount.format(recordBytes)), \(expertSchemes)")
      if let pool = manifest.pool {
        table.add(
          "pool", "\(pool.recordCount) records, \(ByteCount.format(pool.fileBytes)) on disk")
      }
      table.add("routed per token", ByteCount.format(routedBytesPerToken))
    }
    table.add(
      "files",
      "\(Manifest.residentFileName), \(manifest.recordFiles.count) of experts, "
        + manifest.companions.map(\.name).joined(separator: ", "))
    if let text = profileText { table.add("profile", text) }
    for (key, value) in manifest.source.object?.members ?? [] {
      if let text = Self.plain(value) { table.add("source, \(key)", text) }
    }
    Output.print(Style.heading(manifest.name))
    Output.print(table)
    if tensors { printTensors() }
  }

  private static func plain(_ value: JSONValue) -> String? {
    switch value {
    case .string(let text): text
    case .integer(let number): "\(number)"
    case .number(let number): "\(number)"
    case .bool(let flag): flag ? "yes" : "no"
    default: nil
    }
  }

  private func printTensors() {
    var table = Table(.left, .left, .left, .right)
    func add(_ name: String, _ layout: TensorLayout) {
      table.add(
        name, Self.name(layout), "\(Self.shape(layout))", ByteCount.format(layout.bytes))
    }
    for tensor in manifest.residents { add(tensor.name, tensor.layout) }
    for layer in manifest.layers {
      for section in layer.record.sections {
        add("layer \(layer.layer), \(layer.expertCount) experts, \(section.name)", section.layout)
      }
      guard let cold = layer.cold else { continue }
      let count = cold.isCold.count { $0 }
      for section in cold.record.sections {
        add("layer \(layer.layer), of these \(count) cold ones, \(section.name)", section.layout)
      }
    }
    Output.print("\nTensors:")
    Output.print(table)
  }

  private static func sections(_ record: RecordLayout) -> JSONValue {
    .array(
      record.sections.map {
        .object([
          "name": .string($0.name), "type": .string(name($0.layout)),
          "shape": .array(shape($0.layout).map { .integer($0) }),
          "offset": .integer($0.offset), "bytes": .integer($0.layout.bytes),
        ])
      })
  }

  private func printJSON(tensors: Bool) {
    var object: JSONObject = [
      "kind": .string("store"), "path": .string(store.path), "name": .string(manifest.name),
    ]
    object.note(manifest.aliasNote)
    for (key, value) in facts.json.members { object[key] = value }
    object["resident_bytes"] = .integer(manifest.residentBytes)
    object["expert_bytes"] = .integer(manifest.expertBytes)
    object["expert_file_bytes"] = .integer(manifest.recordFileBytes)
    object["records"] = .integer(manifest.recordCount)
    object["record_bytes"] = .integer(recordBytes)
    object["routed_bytes_per_token"] = .integer(routedBytesPerToken)
    object["resident_schemes"] = .string(residentSchemes)
    object["expert_schemes"] = .string(expertSchemes)
    object["companions"] = .array(manifest.companions.map { .string($0.name) })
    object["profile"] = .optional(profileText)
    object["source"] = manifest.source
    if tensors {
      object["tensors"] = .array(
        manifest.residents.map {
          .object([
            "name": .string($0.name), "type": .string(Self.name($0.layout)),
            "shape": .array(Self.shape($0.layout).map { .integer($0) }),
            "offset": .integer($0.offset), "bytes": .integer($0.layout.bytes),
          ])
        })
      object["layers"] = .array(
        manifest.layers.map { layer in
          .object([
            "layer": .integer(layer.layer), "experts": .integer(layer.expertCount),
            "stride": .integer(layer.record.stride), "sections": Self.sections(layer.record),
            "cold": layer.cold.map { cold in
              .object([
                "experts": .integer(cold.isCold.count { $0 }),
                "stride": .integer(cold.record.stride), "sections": Self.sections(cold.record),
              ])
            } ?? .null,
          ])
        })
    }
    Output.print(object)
  }
}
