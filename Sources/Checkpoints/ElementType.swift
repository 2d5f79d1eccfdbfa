/// How the numbers of a tensor are stored in a checkpoint.
///
/// Plain types hold one element in a block.  The quantized types are GGML's, under its names: blocks of
/// 32 or 256 elements along the innermost dimension.
public enum ElementType: String, Sendable, CaseIterable {
  case f64, f32, f16, bf16
  case f8e4m3, f8e5m2
  case i64, i32, i16, i8
  case u64, u32, u16, u8
  case bool
  case q4_0, q4_1, q5_0, q5_1, q8_0
  case q2_k, q3_k, q4_k, q5_k, q6_k
  case iq4_nl, iq4_xs, mxfp4

  /// Elements in one block: 1, or 32 or 256 for the quantized types.
  public var blockElements: Int {
    switch self {
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .iq4_nl, .mxfp4: 32
    case .q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_xs: 256
    default: 1
    }
  }

  /// Bytes in one block.
  public var blockBytes: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .f8e4m3, .f8e5m2, .i8, .u8, .bool: 1
    case .q4_0, .iq4_nl: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q2_k: 84
    case .q3_k: 110
    case .q4_k: 144
    case .q5_k: 176
    case .q6_k: 210
    case .iq4_xs: 136
    case .mxfp4: 17
    }
  }

  /// The bytes of a tensor of this shape, outermost dimension first.
  ///
  /// - Returns: nil when the size overflows, a dimension is negative, or a row is not a whole
  ///   number of blocks.
  public func byteCount(shape: [Int]) -> Int? {
    var elements = 1
    for dimension in shape {
      guard dimension >= 0 else { return nil }
      let (product, overflow) = elements.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      elements = product
    }
    if blockElements > 1 {
      guard let row = shape.last, row % blockElements == 0 else { return nil }
    }
    let (bytes, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }
}
