import CKernels
import Testing

/// A cache of random keys and values, and the floats it stands for, read by the layout's words in
/// CKernels.h and by nothing the kernels use.
final class AttentionCache {
  let type: UInt32, positions: Int, dimension: Int
  let level: Level
  private let keyBytes: Guarded<UInt8>, valueBytes: Guarded<UInt8>
  private(set) var sourceKeys: [Float] = [], sourceValues: [Float] = []
  /// [position][dimension]
  private(set) var keys: [Float] = [], values: [Float] = []

  init(type: UInt32, positions: Int, dimension: Int, level: Level, random: inout Random) {
    self.type = type
    self.positions = positions
    self.dimension = dimension
    self.level = level
    let bytes =
      (positions + 15) / 16 * fm_cache_block_bytes(fm_cache_type(rawValue: type), dimension)
    // What was never stored is NaN in all formats.
    keyBytes = Guarded(bytes, filledWith: 0xFF)
    valueBytes = Guarded(bytes, filledWith: 0xFF)
    sourceKeys = random.normals(positions * dimension)
    sourceValues = random.normals(positions * dimension)
    for position in 0..<positions {
      let range = position * dimension..<(position + 1) * dimension
      store(position, key: Array(sourceKeys[range]), value: Array(sourceValues[range]))
    }
    for position in 0..<positions {
      for d in 0..<dimension {
        keys.append(read(keyBytes, position, d, isKey: true).value)
        values.append(read(valueBytes, position, d, isKey: false).value)
      }
    }
  }

  var head: fm_attention_cache {
    fm_attention_cache(
      keys: keyBytes.pointer, values: valueBytes.pointer, type: fm_cache_type(rawValue: type),
      head_dim: dimension, positions: 0)
  }

  func store(_ position: Int, key: [Float], value: [Float]) {
    var head = head
    let key = Guarded(key), value = Guarded(value)
    level.kernels.cache_store(&head, position, key.pointer, value.pointer)
  }

  private func read(_ bytes: Guarded<UInt8>, _ position: Int, _ d: Int, isKey: Bool)
    -> (value: Float, scale: Float)
  {
    let padded = (dimension + 15) / 16 * 16
    let (block, lane) = (position / 16, position % 16)
    let element = isKey ? d * 16 + lane : lane * padded + d
    let base = UnsafeRawPointer(bytes.pointer)
    func half(_ at: Int) -> Float {
      Float(Float16(bitPattern: base.loadUnaligned(fromByteOffset: at, as: UInt16.self)))
    }
    switch type {
    case 0: return (half((block * 16 * padded + element) * 2), 0)
    case 1:
      return (
        base.loadUnaligned(fromByteOffset: (block * 16 * padded + element) * 4, as: Float.self), 0
      )
    default:
      let groups = (dimension + 31) / 32
      let start = block * (groups * 32 + 16 * padded)
      let scale = half(start + (d / 32 * 16 + lane) * 2)
      let code = Int8(bitPattern: bytes[start + groups * 32 + element])
      return (Float(code) * scale, scale)
    }
  }

  func scale(_ position: Int, _ d: Int, isKey: Bool) -> Float {
    read(isKey ? keyBytes : valueBytes, position, d, isKey: isKey).scale
  }
  func current(_ position: Int, _ d: Int, isKey: Bool) -> Float {
    read(isKey ? keyBytes : valueBytes, position, d, isKey: isKey).value
  }
}

@Suite struct CacheTests {
  @Test(arguments: Level.available, AttentionTests.types)
  func holdsWhatWasStored(level: Level, type: UInt32) {
    var random = Random(30)
    for dimension in [2, 6, 16, 30, 32, 48, 64, 80, 128, 256, 512] {
      let positions = random.int(1...40)
      let cache = AttentionCache(
        type: type, positions: positions, dimension: dimension, level: level, random: &random)
      for (isKey, source, held) in [
        (true, cache.sourceKeys, cache.keys), (false, cache.sourceValues, cache.values),
      ] {
        for i in source.indices {
          let (x, y) = (source[i], held[i])
          switch type {
          case 0: #expect(y == Float(Float16(x)))
          case 1: #expect(y == x)
          default:
            let (position, d) = (i / dimension, i % dimension)
            let group = position * dimension + d / 32 * 32
            let end = min(group + 32, (position + 1) * dimension)
            let greatest = source[group..<end].map(abs).max()!
            let scale = cache.scale(position, d, isKey: isKey)
            #expect(scale == Float(Float16(greatest / 127)))
            #expect(abs(x - y) <= scale * 0.501, "dim \(dimension), \(x) became \(y)")
          }
        }
      }
    }
  }

  /// Every level writes the same bytes.
  @Test(arguments: AttentionTests.types) func levelsAgree(type: UInt32) {
    for dimension in [30, 64, 80] {
      let held = Level.available.map { level in
        var random = Random(31)
        return bits(
          AttentionCache(
            type: type, positions: 33, dimension: dimension, level: level, random: &random
          ).keys)
      }
      #expect(Set(held).count == 1)
    }
  }

  @Test(arguments: Level.available) func eightBitExtremes(level: Level) {
    var random = Random(32)
    let cache = AttentionCache(
      type: 2, positions: 1, dimension: 32, level: level, random: &random)
    func stored(_ x: Float, beside greatest: Float) -> Float {
      var values = [Float](repeating: 0, count: 32)
      values[3] = x
      values[31] = greatest
      cache.store(0, key: values, value: values)
      #expect(
        cache.current(0, 3, isKey: true).bitPattern
          == cache.current(0, 3, isKey: false).bitPattern)
      return cache.current(0, 3, isKey: true)
    }
    #expect(stored(0, beside: 0) == 0)
    #expect(stored(1e-30, beside: 1e-30) == 0)
    // A scale that is a subnormal half still holds its group to half a step.
    #expect(abs(stored(1e-5, beside: 1e-5) - 1e-5) <= 1e-5 * 0.51)
    #expect(stored(-127, beside: 127) == -127)
    #expect(!stored(1, beside: .nan).isFinite)
    #expect(!stored(1, beside: .infinity).isFinite)
    #expect(!stored(1, beside: 1e9).isFinite)
    #expect(!stored(1e9, beside: 1e9).isFinite)
  }

  @Test func sizes() {
    for dimension in [2, 30, 64, 80, 128] {
      let padded = (dimension + 15) / 16 * 16
      #expect(fm_cache_block_bytes(FM_CACHE_F16, dimension) == 32 * padded)
      #expect(fm_cache_block_bytes(FM_CACHE_F32, dimension) == 64 * padded)
      #expect(
        fm_cache_block_bytes(FM_CACHE_Q8, dimension) == 16 * padded + 32 * ((dimension + 31) / 32))
    }
  }
}
