import Support

extension Manifest {
  /// What a manifest that needs an understanding beyond version 1 names.
  enum Feature: String, CaseIterable {
    /// Layers' records lie in one file that they share.
    case aliasedRecords = "aliased-records"
    /// Some experts' records have a second layout.
    case coldRecords = "cold-records"
  }

  public static let poolFileName = "experts/pool.bin"

  /// Records that experts of all layers share, in `experts/pool.bin` at a fixed stride.
  ///
  /// Real models have none: it lets a disk smaller than a model serve reads at the model's true
  /// sizes and counts.
  public struct Pool: Sendable, Equatable {
    /// The one layout of all layers' records.
    public var record: RecordLayout
    /// One checksum a record, over `record.bytes` bytes.
    public var checksums: [Checksum]
    public var recordCount: Int { checksums.count }
    public var fileBytes: Int { recordCount * record.stride }

    public init(record: RecordLayout, checksums: [Checksum]) {
      self.record = record
      self.checksums = checksums
    }
  }

  /// Which record of the pool each expert of a layer is.
  public struct Aliasing: Sendable, Equatable {
    public var records: [Int]
    public var poolBytes: Int

    public init(records: [Int], pool: Pool) {
      self.records = records
      poolBytes = pool.fileBytes
    }
  }

  /// What every output of an aliased store says; nil for others.
  public var aliasNote: String? {
    pool.map {
      "aliased: records share a pool of \(ByteCount.format($0.fileBytes)); weights are synthetic, "
        + "speeds are real reads, text is meaningless"
    }
  }

  /// Every file of records once, with its size.
  public var recordFiles: [(file: String, bytes: Int)] {
    if let pool { return [(Self.poolFileName, pool.fileBytes)] }
    return layers.map { ($0.file, $0.fileBytes) }
  }

  /// Bytes of records on disk; `expertBytes` counts shared ones as often as they are used.
  public var recordFileBytes: Int { recordFiles.reduce(0) { $0 + $1.bytes } }
}

extension Manifest.Layer {
  /// A layer whose experts are records of `pool`.
  ///
  /// - Parameter records: an index into the pool for each expert.
  public init(layer: Int, records: [Int], of pool: Manifest.Pool) {
    self.init(
      layer: layer, record: pool.record, checksums: records.map { pool.checksums[$0] })
    aliasing = Manifest.Aliasing(records: records, pool: pool)
  }
}

extension ManifestReader {
  /// - Throws: `Failure(.unsupported)` naming a feature this build does not know.
  func features(_ document: JSONValue, version: Int) throws(Failure) -> Set<Manifest.Feature> {
    guard version > 1 else {
      guard document["features"] == nil, document["pool"] == nil else {
        throw failure("version", "1 has no features and no pool")
      }
      return []
    }
    var features: Set<Manifest.Feature> = []
    for (at, value) in try array(document["features"], at: "features").enumerated() {
      guard let name = value.string else { throw failure("features[\(at)]", "must be a string") }
      guard let feature = Manifest.Feature(rawValue: name) else {
        throw Failure(
          .unsupported, subject, at: "features", "this build does not know \"\(name)\"",
          remedy: "Use a newer build")
      }
      guard features.insert(feature).inserted else {
        throw failure("features[\(at)]", "\(name) stands twice")
      }
    }
    guard !features.isEmpty else { throw failure("features", "must name what version 2 is for") }
    return features
  }

  func pool(_ value: JSONValue?) throws(Failure) -> Manifest.Pool {
    let entry = value ?? .null
    let record = try record(entry, at: "pool")
    return Manifest.Pool(
      record: record, checksums: try checksums(entry, limit: Manifest.poolLimit, at: "pool"))
  }

  /// The experts of an aliased layer.
  func records(_ entry: JSONValue, of pool: Manifest.Pool, at place: String) throws(Failure)
    -> [Int]
  {
    guard entry["checksums"] == nil else {
      throw failure(place + ".checksums", "stands beside a pool, which has them")
    }
    var records: [Int] = []
    for (at, value) in try array(entry["records"], at: place + ".records").enumerated() {
      guard let record = value.integer, (0..<pool.recordCount).contains(record) else {
        throw failure(
          "\(place).records[\(at)]", "must be a whole number from 0 to \(pool.recordCount - 1)")
      }
      records.append(record)
    }
    guard (1...Manifest.expertLimit).contains(records.count) else {
      throw failure(place + ".records", "must name 1 to \(Manifest.expertLimit) experts")
    }
    return records
  }
}
