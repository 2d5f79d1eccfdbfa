/// A router probability in one byte: sixteen codes an octave, linear in between, from 2⁻¹⁶ to 1.
///
/// The policy sees these and not the floats, in the engine as in a replay, so that both decide the
/// same.  A code is the top bits of the float itself: no logarithm is taken.
public enum RouterCode {
  /// Mantissa bits that are dropped: four stay.
  private static let shift: UInt32 = 19
  /// What 1.0 shifts to.
  private static let one = Float(1).bitPattern >> shift

  /// - Parameter probability: from 0 to 1; what is beyond is taken as the nearest.
  @inline(__always)
  public static func code(_ probability: Float) -> UInt8 {
    let shifted = Int32(bitPattern: probability.bitPattern >> shift) - Int32(one - 255)
    // Negative numbers have the sign bit, which shifts to beyond 1.
    guard probability > 0 else { return 0 }
    return UInt8(truncatingIfNeeded: min(max(shifted, 0), 255))
  }

  /// The middle of the probabilities with this code; 0 for the least.
  public static func probability(_ code: UInt8) -> Float {
    switch code {
    case 0: return 0
    case 255: return 1
    default:
      let low = (UInt32(code) + one - 255) << shift
      return Float(bitPattern: low + 1 << (shift - 1))
    }
  }

  /// `probability` of every code.
  public static let table: [Float] = (0...255).map { probability(UInt8($0)) }

  /// Codes of `count` probabilities.
  @inline(__always)
  public static func encode(
    _ probabilities: UnsafePointer<Float>, count: Int, into codes: UnsafeMutablePointer<UInt8>
  ) {
    for index in 0..<count { codes[index] = code(probabilities[index]) }
  }
}
