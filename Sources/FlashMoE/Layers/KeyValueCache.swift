import CKernels

/// Number format of cached keys and values.
public enum KeyValueType: String, Sendable, CaseIterable {
  case f16, f32
  /// Eight bits with a scale for each 32 dimensions of a position: about half of f16, and lossy.
  case q8

  var kernelType: fm_cache_type {
    switch self {
    case .f16: FM_CACHE_F16
    case .f32: FM_CACHE_F32
    case .q8: FM_CACHE_Q8
    }
  }

  /// Bytes one position of a model with these heads takes in all layers.
  public func bytesPerPosition(_ configuration: ModelConfiguration) -> Int {
    KeyValueCache.Shape(configuration, type: self, contextLength: KeyValueCache.blockPositions)
      .byteCount / KeyValueCache.blockPositions
  }
}

/// Keys and values of all layers: [layer][head][block of 16 positions], keys and values apart.
///
/// What lies in a block is written down in CKernels.h.  Positions from the decoder's length on are
/// dead: nothing reads them, and storing overwrites them.
struct KeyValueCache {
  /// Positions that lie together; a context is rounded up to whole blocks.
  static let blockPositions = Int(FM_CACHE_POSITIONS)

  /// What a cache holds, and so what it takes.
  struct Shape {
    let type: KeyValueType
    let layerCount: Int
    let headCount: Int
    let headDimension: Int
    let contextLength: Int

    init(_ configuration: ModelConfiguration, type: KeyValueType, contextLength: Int) {
      self.type = type
      layerCount = configuration.layerCount
      headCount = configuration.attention.keyValueHeadCount
      headDimension = configuration.attention.headDimension
      self.contextLength = contextLength
    }

    /// Bytes of one head's keys, or of its values.
    var headBytes: Int {
      let blocks = (contextLength + blockPositions - 1) / blockPositions
      return blocks * fm_cache_block_bytes(type.kernelType, headDimension)
    }

    /// Bytes of all keys, or of all values, to a cache line.
    var halfBytes: Int { (layerCount * headCount * headBytes + 63) / 64 * 64 }
    var byteCount: Int { 2 * halfBytes }
  }

  let shape: Shape
  let keys: UnsafeMutableRawPointer
  let values: UnsafeMutableRawPointer
  private let headBytes: Int

  var contextLength: Int { shape.contextLength }

  init(_ shape: Shape, keys: UnsafeMutableRawPointer, values: UnsafeMutableRawPointer) {
    self.shape = shape
    self.keys = keys
    self.values = values
    headBytes = shape.headBytes
  }

  /// One head's keys and values in one layer.
  @inline(__always)
  func head(_ head: Int, layer: Int) -> fm_attention_cache {
    let start = (layer * shape.headCount + head) * headBytes
    return fm_attention_cache(
      keys: keys + start, values: values + start, type: shape.type.kernelType,
      head_dim: shape.headDimension)
  }
}
