import Support

/// Everything a store will hold and where each part comes from: what `Packer` turns into bytes.
///
/// The plan knows records and residents, not models.  Making one costs no reading of weights, so
/// that all that is wrong with a checkpoint's headers shows before any work starts.
public struct PackPlan: Sendable {
  /// How sources become the rows of one stored matrix or vector.
  public enum Rows: Sendable {
    case plain(any RowSource)
    /// Alternating blocks of 16 gate and 16 up rows, each padded with zero rows to full blocks.
    case blockedPairs(gate: any RowSource, up: any RowSource)

    public var sources: [any RowSource] {
      switch self {
      case .plain(let source): [source]
      case .blockedPairs(let gate, let up): [gate, up]
      }
    }
  }

  public typealias ImportanceSource =
    @Sendable (_ expert: Int, _ section: String) throws(Failure)
    -> [Float]?

  public struct Resident: Sendable {
    public var name: String
    /// What reports count it as: attention, head, …
    public var tensorClass: String
    public var layout: TensorLayout
    public var rows: Rows

    public init(
      name: String, tensorClass: String = "resident", layout: TensorLayout, rows: Rows
    ) {
      self.name = name
      self.tensorClass = tensorClass
      self.layout = layout
      self.rows = rows
    }
  }

  /// The records of one layer: all experts share a layout.
  public struct Layer: Sendable {
    public var number: Int
    public var record: RecordLayout
    /// For each expert one entry a section of `record`; none where `aliases` stands instead.
    public var experts: [[Rows]]
    /// Which record of the plan's pool each expert is.
    public var aliases: [Int]?
    /// The second layout, and which experts have it.
    public var cold: (record: RecordLayout, isCold: [Bool])?
    /// How much each column of a section of an expert matters, for the search of scales; nil where
    /// nothing is known.
    public var importance: ImportanceSource?
    public var expertCount: Int { aliases?.count ?? experts.count }

    public init(number: Int, record: RecordLayout, experts: [[Rows]]) {
      self.number = number
      self.record = record
      self.experts = experts
    }
  }

  /// Records that all layers share, see `Manifest.Pool`.
  public struct Pool: Sendable {
    public var record: RecordLayout
    /// For each record one entry a section of `record`.
    public var records: [[Rows]]

    public init(record: RecordLayout, records: [[Rows]]) {
      self.record = record
      self.records = records
    }
  }

  public struct Companion: Sendable, Equatable {
    public var name: String
    public var bytes: [UInt8]

    public init(name: String, bytes: [UInt8]) {
      self.name = name
      self.bytes = bytes
    }
  }

  public var name: String
  /// The model configuration, carried into the manifest as it is.
  public var config: JSONValue
  public var companions: [Companion]
  public var residents: [Resident]
  public var layers: [Layer]
  /// Set when all layers are aliased.
  public var pool: Pool?
  /// Opening members of the manifest's `source`; the packer adds the quantization error.
  public var source: JSONObject
  /// Lines that change when the source does (file names, sizes, times, headers): a pack
  /// interrupted with other lines is not resumed.  They never reach the store.
  public var sourceIdentity: [String]
  /// What the user should know though it stops nothing: unused tensors, missing companions.
  public var warnings: [String]
  /// Looks for the scale with the least squared error instead of taking the absolute maximum.
  public var searchesScales: Bool
  /// Drops the source's clean pages from the page cache.
  public var dropSourceCache: @Sendable () -> Void

  public init(
    name: String, config: JSONValue, companions: [Companion] = [], residents: [Resident],
    layers: [Layer], source: JSONObject = [:], sourceIdentity: [String] = [],
    warnings: [String] = [], searchesScales: Bool = true,
    dropSourceCache: @escaping @Sendable () -> Void = {}
  ) {
    self.name = name
    self.config = config
    self.companions = companions
    self.residents = residents
    self.layers = layers
    self.source = source
    self.sourceIdentity = sourceIdentity
    self.warnings = warnings
    self.searchesScales = searchesScales
    self.dropSourceCache = dropSourceCache
  }

  /// Bytes that will be read from the source.
  public var sourceBytes: Int {
    func bytes(_ rows: Rows) -> Int { rows.sources.reduce(0) { $0 + $1.byteCount } }
    func bytes(_ records: [[Rows]]) -> Int {
      records.reduce(0) { $0 + $1.reduce(0) { $0 + bytes($1) } }
    }
    return residents.reduce(0) { $0 + bytes($1.rows) }
      + recordFiles.reduce(0) { $0 + bytes($1.records) }
  }

  /// Every file of records once, in order.
  var recordFiles: [RecordFile] {
    if let pool {
      return [
        RecordFile(
          file: Manifest.poolFileName, record: pool.record, cold: nil, records: pool.records)
      ]
    }
    return layers.map {
      RecordFile(
        file: Manifest.layerFileName($0.number), record: $0.record, cold: $0.cold,
        importance: $0.importance, records: $0.experts)
    }
  }

  struct RecordFile {
    let file: String
    let record: RecordLayout
    let cold: (record: RecordLayout, isCold: [Bool])?
    var importance: ImportanceSource?
    let records: [[Rows]]

    func layout(of expert: Int) -> RecordLayout {
      if let cold, cold.isCold[expert] { return cold.record }
      return record
    }

    var bytes: Int { records.indices.reduce(0) { $0 + layout(of: $1).stride } }
  }

  /// Bytes of the resident weights, of all records on disk, and of everything the store's files hold but
  /// the manifest.
  public var residentBytes: Int { ResidentPlacement(self).fileBytes }
  public var expertBytes: Int {
    recordFiles.reduce(0) { $0 + $1.bytes }
  }
  public var storeBytes: Int {
    residentBytes + expertBytes + companions.reduce(0) { $0 + $1.bytes.count }
  }
}

/// Where resident tensors lie in their file: in plan order, each at a multiple of 64 bytes, the
/// file padded to the alignment of direct reads.
struct ResidentPlacement {
  let offsets: [Int]
  let fileBytes: Int

  init(_ plan: PackPlan) {
    var offsets: [Int] = []
    var end = 0
    for tensor in plan.residents {
      let offset = alignUp(end, to: 64)
      offsets.append(offset)
      end = offset + tensor.layout.bytes
    }
    self.offsets = offsets
    fileBytes = alignUp(end, to: RecordLayout.alignment)
  }
}
