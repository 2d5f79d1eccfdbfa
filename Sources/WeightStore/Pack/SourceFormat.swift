import CKernels

/// How the numbers of a source row are written before packing.
///
/// Beside plain numbers these are GGML's blocks under GGML's names, and two affine forms into which
/// readers of other formats arrange their rows.  The layouts are those of `fm_row_format`.
public enum SourceFormat: String, Sendable, CaseIterable {
  case f32, f16, bf16
  case q4_0, q4_1, q5_0, q5_1, q8_0
  case q2_k, q3_k, q4_k, q5_k, q6_k
  case iq4_nl, iq4_xs
  /// 4-bit floats: exponent byte, then 16 bytes as in Q4_0.
  case mxfp4
  /// 64 columns of 4-bit codes with scale and bias in bf16.
  case affine4
  /// The same with scale and bias in f32: what cannot be written in bf16.
  case affine4Wide

  /// nil for plain numbers.
  var rowFormat: fm_row_format? {
    switch self {
    case .f32, .f16, .bf16: nil
    case .q4_0: FM_ROW_Q4_0
    case .q4_1: FM_ROW_Q4_1
    case .q5_0: FM_ROW_Q5_0
    case .q5_1: FM_ROW_Q5_1
    case .q8_0: FM_ROW_Q8_0
    case .q2_k: FM_ROW_Q2_K
    case .q3_k: FM_ROW_Q3_K
    case .q4_k: FM_ROW_Q4_K
    case .q5_k: FM_ROW_Q5_K
    case .q6_k: FM_ROW_Q6_K
    case .iq4_nl: FM_ROW_IQ4_NL
    case .iq4_xs: FM_ROW_IQ4_XS
    case .mxfp4: FM_ROW_MXFP4
    case .affine4: FM_ROW_AFFINE_BF16
    case .affine4Wide: FM_ROW_AFFINE_F32
    }
  }

  /// Rows are whole blocks of so many columns.
  public var blockColumns: Int { rowFormat.map(fm_row_block_columns) ?? 1 }

  /// Bytes of one row of whole blocks.
  public func rowBytes(columns: Int) -> Int {
    switch self {
    case .f32: columns * 4
    case .f16, .bf16: columns * 2
    default:
      rowFormat.map { columns / fm_row_block_columns($0) * fm_row_block_bytes($0) } ?? 0
    }
  }

  /// One row's numbers as f32.
  public func widen(
    _ row: UnsafeRawPointer, columns: Int, into values: UnsafeMutablePointer<Float>
  ) {
    switch self {
    case .f32: UnsafeMutableRawPointer(values).copyMemory(from: row, byteCount: 4 * columns)
    case .f16: fm_widen_f16(row.assumingMemoryBound(to: UInt16.self), columns, values)
    case .bf16: fm_widen_bf16(row.assumingMemoryBound(to: UInt16.self), columns, values)
    default:
      guard let rowFormat else { return }
      fm_unpack_format(rowFormat, row.assumingMemoryBound(to: UInt8.self), columns, values)
    }
  }

  /// The scheme that holds the same numbers in about the same width: packing into it loses nothing.
  /// f32 where there is none but that.
  public var matchingScheme: Scheme {
    switch self {
    case .f16: .f16
    case .bf16: .bf16
    case .q4_0: .q4
    case .q8_0: .q8
    case .mxfp4: .mxfp4
    case .affine4: .q4a
    default: .f32
    }
  }

  /// Whether every number of this format has exactly its own value in `scheme`.
  public func isExact(in scheme: Scheme) -> Bool {
    switch scheme {
    // An f16 scale times an 8-bit integer needs 19 bits of mantissa; f32 has 24.  Where unpacking
    // rounds, its result in f32 is what the format's value is.
    case .f32: true
    case .q8: self == .q4_0 || self == .q8_0
    default: matchingScheme == scheme
    }
  }

  /// The narrowest scheme that holds rows of all these formats exactly.
  public static func commonScheme(_ formats: Set<SourceFormat>) -> Scheme {
    if formats.count == 1, let only = formats.first { return only.matchingScheme }
    return !formats.isEmpty && formats.isSubset(of: [.q4_0, .q8_0]) ? .q8 : .f32
  }

  /// The scheme that keeps the codes of rows which are quantized already, so that nothing is
  /// quantized twice; nil where there is none.
  public static func keptScheme(_ formats: Set<SourceFormat>) -> Scheme? {
    let common = commonScheme(formats)
    if common.isQuantized { return common }
    // Only scale and bias are rounded.
    return !formats.isEmpty && formats.isSubset(of: [.affine4, .affine4Wide]) ? .q4a : nil
  }
}
