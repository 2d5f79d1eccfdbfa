import CKernels

/// How the numbers of a matrix are stored.  The layouts are drawn in `CKernels.h` and in
/// `docs/store-format.md`.
public enum Scheme: String, Sendable, CaseIterable {
  case f32, f16, bf16
  /// 8-bit symmetric, groups of 32, f16 scale: what GGUF Q8_0 holds.
  case q8
  /// 4-bit symmetric, groups of 32, f16 scale: what GGUF Q4_0 holds.
  case q4
  /// 4-bit affine, groups of 64, bf16 scale and bias: what MLX 4-bit holds.
  case q4a
  /// 4-bit floats (e2m1), groups of 32, a power of two as scale: what gpt-oss and GGUF MXFP4 hold.
  case mxfp4
  /// 3-bit and 2-bit symmetric, groups of 32, f16 scale: for those who need the space.
  case q3, q2

  /// Reads a scheme's name as users of other tools know it (`q4_0`, `Q8_0`, `fp16`, …).
  public init?(userName: String) {
    switch userName.lowercased() {
    case "f32", "fp32", "float32": self = .f32
    case "f16", "fp16", "float16": self = .f16
    case "bf16", "bfloat16": self = .bf16
    case "q8", "q8_0", "8bit": self = .q8
    case "q4", "q4_0", "4bit", "q4s": self = .q4
    case "q4a", "q4_affine", "mlx4": self = .q4a
    case "mxfp4", "fp4": self = .mxfp4
    case "q3", "3bit": self = .q3
    case "q2", "2bit": self = .q2
    default: return nil
    }
  }

  public var kernelScheme: fm_scheme {
    switch self {
    case .f32: FM_F32
    case .f16: FM_F16
    case .bf16: FM_BF16
    case .q8: FM_Q8
    case .q4: FM_Q4
    case .q4a: FM_Q4A
    case .mxfp4: FM_MXFP4
    case .q3: FM_Q3
    case .q2: FM_Q2
    }
  }

  /// Columns that share a scale; padding is to a multiple of it.
  public var columnUnit: Int {
    switch self {
    case .f32: 1
    case .f16, .bf16: 2
    case .q8, .q4, .mxfp4, .q3, .q2: 32
    case .q4a: 64
    }
  }

  /// Whether int8 activations can be used with it.
  public var isQuantized: Bool {
    switch self {
    case .f32, .f16, .bf16: false
    case .q8, .q4, .q4a, .mxfp4, .q3, .q2: true
    }
  }

  /// Storage per weight, scales included, padding not.
  public var bitsPerWeight: Double {
    switch self {
    case .f32: 32
    case .f16, .bf16: 16
    case .q8: 8.5
    case .q4, .q4a: 4.5
    case .mxfp4: 4.25
    case .q3: 3.5
    case .q2: 2.5
    }
  }

  /// One line for `info` and `--help`.
  public var summary: String {
    switch self {
    case .f32: "32-bit float"
    case .f16: "16-bit float"
    case .bf16: "bfloat16"
    case .q8: "8-bit symmetric, group 32"
    case .q4: "4-bit symmetric, group 32"
    case .q4a: "4-bit affine, group 64"
    case .mxfp4: "4-bit float, group 32"
    case .q3: "3-bit symmetric, group 32"
    case .q2: "2-bit symmetric, group 32"
    }
  }
}
