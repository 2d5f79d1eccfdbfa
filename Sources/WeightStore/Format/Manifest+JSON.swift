import Support

extension Manifest {
  /// The document as written to disk; identical manifests give identical bytes.
  public func serialized() -> [UInt8] {
    var document = JSONObject()
    document["format"] = .string(Self.formatName)
    var features: [Feature] = []
    if pool != nil { features.append(.aliasedRecords) }
    if layers.contains(where: { $0.cold != nil }) { features.append(.coldRecords) }
    document["version"] = .integer(features.isEmpty ? Self.formatVersion : Self.featureVersion)
    if !features.isEmpty {
      document["features"] = .array(features.map { .string($0.rawValue) })
    }
    document["name"] = .string(name)
    document["config"] = config
    document["resident"] = .object([
      "bytes": .integer(residentBytes),
      "tensors": .array(residents.map(Self.encode)),
    ])
    if let pool {
      var object = Self.encode(pool.record)
      object["checksums"] = .array(pool.checksums.map { .string($0.description) })
      document["pool"] = .object(object)
    }
    document["layers"] = .array(layers.map(Self.encode))
    document["companions"] = .array(
      companions.map {
        .object([
          "name": .string($0.name), "bytes": .integer($0.bytes),
          "checksum": .string($0.checksum.description),
        ])
      })
    document["source"] = source
    document["checksum"] = .string(Self.checksum(of: document).description)
    return Array((JSONValue.object(document).serialized(pretty: true) + "\n").utf8)
  }

  /// Over the document without its own `checksum` member, in compact form.
  private static func checksum(of document: JSONObject) -> Checksum {
    Checksum(of: Array(JSONValue.object(document).serialized().utf8))
  }

  private static func encode(_ tensor: ResidentTensor) -> JSONValue {
    var object: JSONObject = ["name": .string(tensor.name)]
    encode(tensor.layout, into: &object)
    object["offset"] = .integer(tensor.offset)
    object["checksum"] = .string(tensor.checksum.description)
    return .object(object)
  }

  private static func encode(_ layer: Layer) -> JSONValue {
    var object: JSONObject = ["layer": .integer(layer.layer)]
    if let aliasing = layer.aliasing {
      object["records"] = .array(aliasing.records.map { .integer($0) })
      return .object(object)
    }
    for (key, value) in encode(layer.record).members { object[key] = value }
    if let cold = layer.cold {
      var entry = encode(cold.record)
      entry["experts"] = .array(
        cold.isCold.indices.filter { cold.isCold[$0] }.map { .integer($0) })
      object["cold"] = .object(entry)
    }
    object["checksums"] = .array(layer.checksums.map { .string($0.description) })
    return .object(object)
  }

  private static func encode(_ record: RecordLayout) -> JSONObject {
    [
      "stride": .integer(record.stride),
      "sections": .array(
        record.sections.map { section in
          var object: JSONObject = ["name": .string(section.name)]
          encode(section.layout, into: &object)
          object["offset"] = .integer(section.offset)
          return .object(object)
        }),
    ]
  }

  private static func encode(_ layout: TensorLayout, into object: inout JSONObject) {
    switch layout {
    case .matrix(let matrix):
      object["rows"] = .integer(matrix.rows)
      object["columns"] = .integer(matrix.columns)
      object["scheme"] = .string(matrix.scheme.rawValue)
    case .vector(let count): object["count"] = .integer(count)
    }
  }

  /// Reads and checks a manifest; geometry is recomputed, never believed.
  ///
  /// - Throws: `Failure` naming the file and the member: unknown format or version, a missing or
  ///   mistyped member, a shape out of range, overlapping or misplaced tensors, a bad checksum.
  public init(parsing bytes: [UInt8], subject: String) throws(Failure) {
    let root = try JSONValue.parse(bytes, subject: subject)
    let reader = ManifestReader(subject: subject)
    var document = try reader.object(root, at: "document")
    guard document["format"]?.string == Self.formatName else {
      throw Failure(
        .malformed, subject, at: "format", "not a FlashMoE store",
        remedy: "Make one with 'flashmoe pack'")
    }
    let version = try reader.integer(root, "version", in: 0...Int.max)
    guard version == Self.formatVersion || version == Self.featureVersion else {
      throw Failure(
        .mismatch, subject, at: "version",
        "format version \(version); this build reads versions \(Self.formatVersion) and "
          + "\(Self.featureVersion)",
        remedy: "Pack the checkpoint again with this version")
    }
    let claimed = try reader.checksum(root["checksum"], at: "checksum")
    document["checksum"] = nil
    guard Self.checksum(of: document) == claimed else {
      throw Failure(
        .corrupt, subject, at: "checksum", "the manifest was changed after it was written",
        remedy: "Restore it from a copy or pack again")
    }
    let features = try reader.features(root, version: version)
    name = try reader.string(root, "name")
    config = root["config"] ?? .null
    guard config.object != nil else { throw reader.failure("config", "must be an object") }
    let resident = root["resident"] ?? .null
    residentBytes = try reader.integer(resident, "bytes", in: 0...(1 << 46), at: "resident.bytes")
    residents = try reader.residents(resident["tensors"], fileBytes: residentBytes)
    pool = features.contains(.aliasedRecords) ? try reader.pool(root["pool"]) : nil
    layers = try reader.layers(root["layers"], pool: pool)
    guard features.contains(.coldRecords) == layers.contains(where: { $0.cold != nil }) else {
      throw reader.failure("features", "must name cold-records where layers have them, only there")
    }
    companions = try reader.companions(root["companions"])
    source = root["source"] ?? .null
  }
}
