/// The tensor types of GGML, by the number that GGUF stores.
enum GGMLType {
  case readable(ElementType)
  /// Known by name, but not read.
  case named(String)
  case unknown

  init(_ number: UInt32) {
    switch number {
    case 0: self = .readable(.f32)
    case 1: self = .readable(.f16)
    case 2: self = .readable(.q4_0)
    case 3: self = .readable(.q4_1)
    case 6: self = .readable(.q5_0)
    case 7: self = .readable(.q5_1)
    case 8: self = .readable(.q8_0)
    case 10: self = .readable(.q2_k)
    case 11: self = .readable(.q3_k)
    case 12: self = .readable(.q4_k)
    case 13: self = .readable(.q5_k)
    case 14: self = .readable(.q6_k)
    case 20: self = .readable(.iq4_nl)
    case 23: self = .readable(.iq4_xs)
    case 24: self = .readable(.i8)
    case 25: self = .readable(.i16)
    case 26: self = .readable(.i32)
    case 27: self = .readable(.i64)
    case 28: self = .readable(.f64)
    case 30: self = .readable(.bf16)
    case 39: self = .readable(.mxfp4)
    default: self = Self.names[number].map { .named($0) } ?? .unknown
    }
  }

  private static let names: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K",
    16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 40: "NVFP4", 41: "Q1_0",
  ]
}
