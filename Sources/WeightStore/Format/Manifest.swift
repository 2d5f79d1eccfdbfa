import Support

/// What `manifest.json` says: everything needed to read a store, and nothing about how to run it.
///
/// `config` is the model configuration in Hugging Face form; this module only carries it.
public struct Manifest: Sendable, Equatable {
  public static let formatName = "fmoe"
  public static let formatVersion = 1
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

  /// The records of one layer, in `experts/layer-NN.bin`.
  public struct Layer: Sendable, Equatable {
    /// The model's layer number; dense layers have no entry.
    public var layer: Int
    public var record: RecordLayout
    /// One checksum a record, over `record.bytes` bytes.
    public var checksums: [Checksum]
    public var expertCount: Int { checksums.count }
    public var file: String { Manifest.layerFileName(layer) }
    public var fileBytes: Int { expertCount * record.stride }

    public init(layer: Int, record: RecordLayout, checksums: [Checksum]) {
      self.layer = layer
      self.record = record
      self.checksums = checksums
    }

    public func offset(ofExpert expert: Int) -> Int { expert * record.stride }
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
  public var companions: [Companion]
  /// Where the weights came from: format, scheme asked for, quantization error; free form.
  public var source: JSONValue

  public init(
    name: String, config: JSONValue, residentBytes: Int, residents: [ResidentTensor],
    layers: [Layer], companions: [Companion], source: JSONValue
  ) {
    self.name = name
    self.config = config
    self.residentBytes = residentBytes
    self.residents = residents
    self.layers = layers
    self.companions = companions
    self.source = source
  }

  public static func layerFileName(_ layer: Int) -> String {
    let digits = String(layer)
    return "experts/layer-" + String(repeating: "0", count: max(0, 2 - digits.count)) + digits
      + ".bin"
  }

  /// Bytes of all records as they lie on disk.
  public var expertBytes: Int { layers.reduce(0) { $0 + $1.fileBytes } }
  public var recordCount: Int { layers.reduce(0) { $0 + $1.expertCount } }
}
