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
    case 8: self = .readable(.q8_0)
    case 24: self = .readable(.i8)
    case 25: self = .readable(.i16)
    case 26: self = .readable(.i32)
    case 27: self = .readable(.i64)
    case 28: self = .readable(.f64)
    case 30: self = .readable(.bf16)
    default: self = Self.names[number].map { .named($0) } ?? .unknown
    }
  }

  private static let names: [UInt32: String] = [
    3: "Q4_1", 4: "Q4_2", 5: "Q4_3", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1",
    10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
    16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0",
    36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0",
  ]
}
