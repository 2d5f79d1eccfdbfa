import Support
import WeightStore

/// Integer codes and their groups' scales, written as a row in one of the formats that keep codes, or
/// as f32.
///
/// A value is `scale * code + bias`; where codes have a zero point, bias is `-scale * zero`, which f32
/// holds exactly for the scales that are published.
struct CodeRows {
  struct Parameters {
    var scale: Float
    var bias: Float
  }

  let columns: Int
  let groupSize: Int
  let format: SourceFormat
  /// Which group each column belongs to, where groups are not neighbours.
  var groups: [Int32]?

  /// The format for codes whose zero point is half the range wherever `isSymmetric`.
  ///
  /// - Parameter halfScales: scales are f16, as q4 and q8 have them; otherwise bf16 ones fit q4a.
  static func format(
    bits: Int, columns: Int, groupSize: Int, isSymmetric: Bool, scales: SourceFormat,
    reorders: Bool = false
  ) -> SourceFormat {
    guard !reorders else { return .f32 }
    if isSymmetric, scales == .f16, groupSize % 32 == 0, columns % 32 == 0 {
      if bits == 4 { return .q4_0 }
      if bits == 8 { return .q8_0 }
    }
    guard bits == 4, groupSize % 64 == 0, columns % 64 == 0 else { return .f32 }
    // -8 times a bf16 is one.
    return isSymmetric && scales == .bf16 ? .affine4 : .affine4Wide
  }

  /// Writes one row.
  func write(
    _ codes: UnsafePointer<UInt8>, _ parameters: UnsafePointer<Parameters>,
    to out: UnsafeMutableRawPointer
  ) {
    switch format {
    case .q4_0:
      for block in 0..<columns / 32 {
        let (to, from) = (out + block * 18, codes + block * 32)
        to.storeBytes(
          of: Float16(parameters[block * 32 / groupSize].scale).bitPattern, as: UInt16.self)
        for at in 0..<16 {
          to.storeBytes(of: from[at] | from[at + 16] << 4, toByteOffset: 2 + at, as: UInt8.self)
        }
      }
    case .q8_0:
      for block in 0..<columns / 32 {
        let (to, from) = (out + block * 34, codes + block * 32)
        to.storeBytes(
          of: Float16(parameters[block * 32 / groupSize].scale).bitPattern, as: UInt16.self)
        for at in 0..<32 {
          to.storeBytes(of: from[at] ^ 0x80, toByteOffset: 2 + at, as: UInt8.self)
        }
      }
    case .affine4, .affine4Wide:
      let head = format == .affine4 ? 4 : 8
      for block in 0..<columns / 64 {
        let (to, from) = (out + block * (head + 32), codes + block * 64)
        let group = parameters[block * 64 / groupSize]
        if format == .affine4 {
          to.storeBytes(of: UInt16(group.scale.bitPattern >> 16), as: UInt16.self)
          to.storeBytes(of: UInt16(group.bias.bitPattern >> 16), toByteOffset: 2, as: UInt16.self)
        } else {
          to.storeBytes(of: group.scale, as: Float.self)
          to.storeBytes(of: group.bias, toByteOffset: 4, as: Float.self)
        }
        for at in 0..<32 {
          to.storeBytes(
            of: from[2 * at] | from[2 * at + 1] << 4, toByteOffset: head + at, as: UInt8.self)
        }
      }
    default:
      let out = out.assumingMemoryBound(to: Float.self)
      guard let groups else {
        for column in 0..<columns {
          let group = parameters[column / groupSize]
          out[column] = group.scale * Float(codes[column]) + group.bias
        }
        return
      }
      for column in 0..<columns {
        let group = parameters[Int(groups[column])]
        out[column] = group.scale * Float(codes[column]) + group.bias
      }
    }
  }
}
