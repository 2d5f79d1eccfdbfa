import Support

/// What `manifest.json` says: everything needed to read a store, and nothing about how to run it.
///
/// `config` is the model configuration in Hugging Face form; this module only carries it.
public struct Manifest: Sendable, Equatable {
  public static let formatName = "fmoe"
  /// What stores without features have, so that older builds read them.
  public static let formatVersion = 1
  /// What stores with features have.
  public static let featureVersion = 2
  static let expertLimit = 65535
  /// Records of a pool at most: all of a large model's.
  static let poolLimit = 1 << 24
  public static let fileName = "manifest.json"
  public static let residentFileName = "resident.bin"

  /// A resident tensor and where it lies in `resident.bin`.
  public struct ResidentTensor: Sendable, Equatable {
    public var name: String
    public var layout: TensorLayout
    public var offset: Int
    public var checksum: Checksum

    public init(name: String, layout: TensorLayout, offset: Int, checksum: Checksum) {
      self.name = name
      self.layout = layout
      self.offset = offset
      self.checksum = checksum
    }
  }

  /// The records of one layer, in `experts/layer-NN.bin` or in the pool.
  public struct Layer: Sendable, Equatable {
    /// The model's layer number; dense layers have no entry.
    public var layer: Int
    public var record: RecordLayout
    /// One checksum a record, over `record.bytes` bytes.
    public var checksums: [Checksum]
    public var expertCount: Int { checksums.count }
    /// Set where the records lie in the pool.
    public var aliasing: Aliasing?
    /// Set where some experts' records have fewer bits.
    public var cold: Cold?
    public var file: String {
      aliasing == nil ? Manifest.layerFileName(layer) : Manifest.poolFileName
    }
    public var fileBytes: Int {
      aliasing?.poolBytes ?? cold?.fileBytes ?? expertCount * record.stride
    }

    public init(layer: Int, record: RecordLayout, checksums: [Checksum]) {
      self.layer = layer
      self.record = record
      self.checksums = checksums
    }

    public func offset(ofExpert expert: Int) -> Int {
      cold?.offsets[expert] ?? (aliasing?.records[expert] ?? expert) * record.stride
    }
  }

  /// A small file that travels with the store (`tokenizer.json`, …).
  public struct Companion: Sendable, Equatable {
    public var name: String
    public var bytes: Int
    public var checksum: Checksum

    public init(name: String, bytes: Int, checksum: Checksum) {
      self.name = name
      self.bytes = bytes
      self.checksum = checksum
    }
  }

  public var name: String
  public var config: JSONValue
  public var residentBytes: Int
  public var residents: [ResidentTensor]
  public var layers: [Layer]
  /// Set when all layers are aliased.
  public var pool: Pool?
  public var companions: [Companion]
  /// Where the weights came from: format, scheme asked for, quantization error; free form.
  public var source: JSONValue

  public init(
    name: String, config: JSONValue, residentBytes: Int, residents: [ResidentTensor],
    layers: [Layer], pool: Pool? = nil, companions: [Companion], source: JSONValue
  ) {
    self.name = name
    self.config = config
    self.residentBytes = residentBytes
    self.residents = residents
    self.layers = layers
    self.pool = pool
    self.companions = companions
    self.source = source
  }

  public static func layerFileName(_ layer: Int) -> String {
    let digits = String(layer)
    return "experts/layer-" + String(repeating: "0", count: max(0, 2 - digits.count)) + digits
      + ".bin"
  }

  /// Bytes of all experts' records, padding included.
  public var expertBytes: Int {
    layers.reduce(0) { $0 + ($1.cold?.fileBytes ?? $1.expertCount * $1.record.stride) }
  }
  public var recordCount: Int { layers.reduce(0) { $0 + $1.expertCount } }
}
