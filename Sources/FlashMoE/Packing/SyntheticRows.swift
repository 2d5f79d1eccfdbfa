import Glibc
import Support
import WeightStore

/// SplitMix64 (Steele, Lea, Flood 2014): a few operations for 64 bits, from any starting point.
struct RandomBits {
  private var state: UInt64

  init(key: UInt64) { state = key }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mix(state)
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// The key of a tensor or of a row within it.
  static func key(_ seed: UInt64, _ name: String) -> UInt64 {
    mix(seed ^ Checksum(of: Array(name.utf8)).value)
  }

  static func key(_ key: UInt64, row: Int) -> UInt64 {
    mix(mix(key) &+ UInt64(truncatingIfNeeded: row) &* 0xD1B5_4A32_D192_ED03)
  }

  /// Nearly normal, mean 0 and variance 1, with plain arithmetic that rounds alike everywhere:
  /// eight 16-bit uniform numbers added up.
  mutating func normal() -> Double {
    let (a, b) = (next(), next())
    var sum = 0
    for shift in [0, 16, 32, 48] as [UInt64] {
      sum += Int(a >> shift & 0xFFFF) + Int(b >> shift & 0xFFFF)
    }
    let variance = 8.0 * (65536.0 * 65536.0 - 1) / 12
    return (Double(sum) - 8 * 32767.5) / variance.squareRoot()
  }
}

/// Rows of random 4-bit blocks: integers from -7 to 7, one scale for the whole matrix.
struct SyntheticMatrix: RowSource {
  static let version = 1
  /// Of integers that are uniform over 16 values with the lowest one replaced by zero.
  private static let deviation = 17.5.squareRoot()

  let subject: String
  let name: String
  let rows: Int
  let columns: Int
  let key: UInt64
  /// Standard deviation of a row's product with a unit vector of independent parts.
  let gain: Double

  var firstRow: Int { 0 }
  var format: SourceFormat { .q4_0 }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    guard let base = buffer.baseAddress else { return }
    let scale = Self.half(Float(gain / Double(columns).squareRoot() / Self.deviation))
    var out = base
    for row in rows {
      var random = RandomBits(key: RandomBits.key(key, row: row))
      for _ in 0..<columns / 32 {
        out.storeBytes(of: scale, as: UInt16.self)
        out.storeBytes(of: Self.nibbles(random.next()), toByteOffset: 2, as: UInt64.self)
        out.storeBytes(of: Self.nibbles(random.next()), toByteOffset: 10, as: UInt64.self)
        out += 18
      }
    }
  }

  /// Sixteen nibbles from 1 to 15; zero, which stands for -8 and has no opposite, becomes 8, which
  /// stands for 0.
  private static func nibbles(_ bits: UInt64) -> UInt64 {
    let low: UInt64 = 0x1111_1111_1111_1111
    let isZero = ~(bits | bits >> 1 | bits >> 2 | bits >> 3) & low
    return bits | isZero << 3
  }

  /// A positive number in f16's normal range, rounded to nearest.
  static func half(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let rounded = bits &+ 0x0FFF &+ (bits >> 13 & 1)
    let exponent = Int(rounded >> 23) - 127 + 15
    guard exponent > 0 else { return 1 }
    guard exponent < 31 else { return 0x7BFF }
    return UInt16(exponent << 10) | UInt16(rounded >> 13 & 0x3FF)
  }
}

/// Router rows: normal numbers whose row norms are log-normal.
struct SyntheticRouter: RowSource {
  let subject: String
  let name: String
  let rows: Int
  let columns: Int
  let key: UInt64
  let skew: Double

  var firstRow: Int { 0 }
  var format: SourceFormat { .f32 }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let out = buffer.assumingMemoryBound(to: Float.self)
    var at = 0
    for row in rows {
      var random = RandomBits(key: RandomBits.key(key, row: row))
      let scale = 2 * exp(skew * random.normal()) / Double(columns).squareRoot()
      for _ in 0..<columns {
        out[at] = Float(random.normal() * scale)
        at += 1
      }
    }
  }
}

/// A norm weight of ones, or a bias of zeros.
struct SyntheticConstant: RowSource {
  let subject: String
  let name: String
  let rows: Int
  let columns: Int
  let value: Float

  var firstRow: Int { 0 }
  var format: SourceFormat { .f32 }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    buffer.assumingMemoryBound(to: Float.self).update(repeating: value)
  }
}
