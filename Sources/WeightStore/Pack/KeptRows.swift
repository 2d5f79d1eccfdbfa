import CKernels

/// Rows whose codes are kept when they are packed: what is checked and rearranged without floats.
enum KeptRows {
  /// Whether rows of `format` keep their codes in `scheme`.
  static func keeps(_ format: SourceFormat, in scheme: Scheme) -> Bool {
    switch (format, scheme) {
    case (.q4_0, .q4), (.q4_0, .q8), (.q8_0, .q8), (.mxfp4, .mxfp4), (.affine4, .q4a),
      (.affine4Wide, .q4a):
      true
    default: false
    }
  }

  /// The first row of `count` that holds a scale which is not a number, or nil.
  static func firstBadRow(
    _ rows: UnsafeRawPointer, count: Int, columns: Int, format: SourceFormat
  ) -> Int? {
    let blockBytes = format.rowBytes(columns: format.blockColumns)
    let blocks = columns / format.blockColumns
    for row in 0..<count {
      let start = rows + row * blocks * blockBytes
      for block in 0..<blocks where isBad(start + block * blockBytes, format) { return row }
    }
    return nil
  }

  private static func isBad(_ block: UnsafeRawPointer, _ format: SourceFormat) -> Bool {
    func word(_ at: Int) -> UInt16 { block.loadUnaligned(fromByteOffset: 2 * at, as: UInt16.self) }
    switch format {
    // From here on 6 times the scale is beyond f32; 255 stands for NaN.
    case .mxfp4: return block.load(as: UInt8.self) >= 253
    case .affine4: return word(0) & 0x7F80 == 0x7F80 || word(1) & 0x7F80 == 0x7F80
    case .affine4Wide:
      return !block.loadUnaligned(as: Float.self).isFinite
        || !block.loadUnaligned(fromByteOffset: 4, as: Float.self).isFinite
    default: return word(0) & 0x7C00 == 0x7C00
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
