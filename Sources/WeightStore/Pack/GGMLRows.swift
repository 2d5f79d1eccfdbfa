import CKernels

/// Rows in GGML's quantized formats, one block of 32 columns after another.
enum GGMLRows {
  /// The first row of `count` that holds a scale which is not a number, or nil.
  static func firstBadRow(
    _ rows: UnsafeRawPointer, count: Int, columns: Int, format: SourceFormat
  ) -> Int? {
    let blockBytes = format.rowBytes(columns: 32)
    let blocks = columns / 32
    for row in 0..<count {
      let start = rows + row * blocks * blockBytes
      for block in 0..<blocks {
        let scale = (start + block * blockBytes).loadUnaligned(as: UInt16.self)
        if scale & 0x7C00 == 0x7C00 { return row }
      }
    }
    return nil
  }

  /// One row as f32; the values are exact.
  static func widen(
    _ row: UnsafeRawPointer, columns: Int, format: SourceFormat,
    into out: UnsafeMutablePointer<Float>
  ) {
    let blockBytes = format.rowBytes(columns: 32)
    for block in 0..<columns / 32 {
      let start = row + block * blockBytes
      var half = start.loadUnaligned(as: UInt16.self)
      var scale: Float = 0
      fm_widen_f16(&half, 1, &scale)
      let quants = start + 2
      let to = out + block * 32
      if format == .q8_0 {
        for at in 0..<32 {
          to[at] = scale * Float(quants.load(fromByteOffset: at, as: Int8.self))
        }
      } else {
        for at in 0..<16 {
          let byte = quants.load(fromByteOffset: at, as: UInt8.self)
          to[at] = scale * Float(Int(byte & 15) - 8)
          to[at + 16] = scale * Float(Int(byte >> 4) - 8)
        }
      }
    }
  }

  /// One Q4_0 row as Q8_0: the same scales and integers, so the same values.
  static func widenToQ8(
    _ row: UnsafeRawPointer, columns: Int, into out: UnsafeMutableRawPointer
  ) {
    for block in 0..<columns / 32 {
      let from = row + block * 18
      let to = out + block * 34
      to.storeBytes(of: from.loadUnaligned(as: UInt16.self), as: UInt16.self)
      for at in 0..<16 {
        let byte = from.load(fromByteOffset: 2 + at, as: UInt8.self)
        to.storeBytes(of: Int8(Int(byte & 15) - 8), toByteOffset: 2 + at, as: Int8.self)
        to.storeBytes(of: Int8(Int(byte >> 4) - 8), toByteOffset: 18 + at, as: Int8.self)
      }
    }
  }
}
