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

  /// Bytes that one more position of context takes in all layers: those with a window, whose cache
  /// does not grow, not counted.
  public func bytesPerPosition(_ configuration: ModelConfiguration) -> Int {
    let compressed = configuration.latentAttentions.reduce(0) {
      $0 + LatentCache.blockBytes($1, type: self) / KeyValueCache.blockPositions
    }
    return configuration.attentions.reduce(compressed) { sum, attention in
      guard attention.window == nil else { return sum }
      let shape = KeyValueCache.Shape(
        attention, type: self, contextLength: KeyValueCache.blockPositions, runLength: 1)
      return sum + shape.byteCount / KeyValueCache.blockPositions
    }
  }
}

/// Keys and values of one layer: [head][block of 16 positions], keys and values apart.
///
/// What lies in a block is written down in CKernels.h.  Positions from the decoder's length on are
/// dead: nothing reads them, and storing overwrites them.  A layer with a window keeps a *ring*: the
/// window, and as many positions as one run stores before it looks back.
struct KeyValueCache {
  /// Positions that lie together; a context is rounded up to whole blocks.
  static let blockPositions = Int(FM_CACHE_POSITIONS)
  /// Positions the kernel takes at once; a ring is rounded up to whole ones.
  private static let ringUnit = 64

  /// What a cache holds, and so what it takes.
  struct Shape {
    let type: KeyValueType
    let headCount: Int
    let headDimension: Int
    /// Positions there is room for.
    let capacity: Int
    /// Positions a token sees; 0 for all.
    let window: Int
    let isRing: Bool

    /// - Parameter runLength: the most positions stored before the first of them looks back.
    init(
      _ attention: ModelConfiguration.Attention, type: KeyValueType, contextLength: Int,
      runLength: Int
    ) {
      self.type = type
      headCount = attention.keyValueHeadCount
      headDimension = attention.headDimension
      window = attention.window ?? 0
      let unit = KeyValueCache.ringUnit
      let ring = (window + runLength + unit - 1) / unit * unit
      isRing = window > 0 && ring < contextLength
      capacity = isRing ? ring : contextLength
    }

    /// Bytes of one head's keys, or of its values.
    var headBytes: Int {
      let blocks = (capacity + blockPositions - 1) / blockPositions
      return blocks * fm_cache_block_bytes(type.kernelType, headDimension)
    }

    /// Bytes of all keys, or of all values, to a cache line.
    var halfBytes: Int { (headCount * headBytes + 63) / 64 * 64 }
    var byteCount: Int { 2 * halfBytes }
  }

  let shape: Shape
  let keys: UnsafeMutableRawPointer
  let values: UnsafeMutableRawPointer
  let headBytes: Int

  init(_ shape: Shape, cutter: inout ArenaCutter) {
    self.shape = shape
    keys = UnsafeMutableRawPointer(cutter.take(UInt8.self, count: shape.halfBytes))
    values = UnsafeMutableRawPointer(cutter.take(UInt8.self, count: shape.halfBytes))
    headBytes = shape.headBytes
  }

  /// One head's keys and values.
  @inline(__always)
  func head(_ head: Int) -> fm_attention_cache {
    fm_attention_cache(
      keys: keys + head * headBytes, values: values + head * headBytes,
      type: shape.type.kernelType, head_dim: shape.headDimension,
      positions: shape.isRing ? shape.capacity : 0)
  }
}

extension KeyValueCache: LayerStateKind {
  var form: String { shape.isRing ? "ring \(shape.capacity)" : "keys and values" }

  func canCutBack(to count: Int, end: Int) -> Bool {
    // Position p of a ring was overwritten by p + capacity, if that was ever stored.
    !shape.isRing || end <= shape.capacity || count - shape.window + 1 >= end - shape.capacity
  }

  func byteRanges(count: Int) -> [UnsafeMutableRawBufferPointer] {
    let live = shape.isRing ? min(shape.capacity, count) : count
    let blocks = (live + Self.blockPositions - 1) / Self.blockPositions
    let bytes = blocks * fm_cache_block_bytes(shape.type.kernelType, shape.headDimension)
    return [keys, values].flatMap { half in
      (0..<shape.headCount).map {
        UnsafeMutableRawBufferPointer(start: half + $0 * headBytes, count: bytes)
      }
    }
  }
}
