/// How the numbers of a source row are written before packing.
///
/// The quantized formats are GGML's: blocks of 32 columns, an f16 scale first.
public enum SourceFormat: String, Sendable, CaseIterable {
  case f32, f16, bf16
  /// Scale and 16 bytes; byte `i` holds columns `i` (low nibble) and `i + 16` (high), minus 8.
  case q4_0
  /// Scale and 32 signed bytes.
  case q8_0

  /// Bytes of one row; `columns` must be whole blocks for the quantized formats.
  public func rowBytes(columns: Int) -> Int {
    switch self {
    case .f32: columns * 4
    case .f16, .bf16: columns * 2
    case .q4_0: columns / 32 * 18
    case .q8_0: columns / 32 * 34
    }
  }

  public var isQuantized: Bool { self == .q4_0 || self == .q8_0 }

  /// The scheme that holds the same numbers in the same width: packing into it loses nothing.
  public var matchingScheme: Scheme {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    case .q4_0: .q4
    case .q8_0: .q8
    }
  }

  /// Whether every number of this format has exactly its own value in `scheme`.
  public func isExact(in scheme: Scheme) -> Bool {
    switch scheme {
    // An f16 scale times an 8-bit integer needs 19 bits of mantissa; f32 has 24.
    case .f32: true
    case .q8: isQuantized
    default: matchingScheme == scheme
    }
  }

  /// The narrowest scheme that holds rows of all these formats exactly.
  public static func commonScheme(_ formats: Set<SourceFormat>) -> Scheme {
    if formats.count == 1, let only = formats.first { return only.matchingScheme }
    return formats.allSatisfy(\.isQuantized) && !formats.isEmpty ? .q8 : .f32
  }
}
