import Checkpoints
import Glibc
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// MXFP4 pairs and FP8 with scales, against values computed from the formats' definitions.
@Suite struct FloatFormatTests {
  private static let magnitudes: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]

  private func mxfp4(_ code: Int, _ exponent: UInt8) -> Float {
    let magnitude = Self.magnitudes[code & 7] * pow(2, Double(exponent) - 127)
    return Float(code < 8 ? magnitude : -magnitude)
  }

  @Test(arguments: [false, true])
  func mxfp4PairsKeepTheirBits(asMLX: Bool) throws {
    let (experts, rows, columns) = (3, 5, 96)
    var random = SeededRandom(seed: 4)
    let codes = (0..<experts * rows * columns).map { _ in random.below(16) }
    let exponents = (0..<experts * rows * columns / 32).map { _ in UInt8(random.below(253)) }
    let packed = Written.words(codes, bits: 4)
    var fixture = try StoredFixture()
    var name = "e.gate_up_proj"
    if asMLX {
      name = "e.weight"
      fixture.key = "quantization"
      fixture.quantization = [
        "bits": .integer(4), "group_size": .integer(32), "mode": .string("mxfp4"),
      ]
      fixture.tensors = [
        TestTensor(name, "U32", [experts, rows, columns / 8], bytes: packed),
        TestTensor("e.scales", "U8", [experts, rows, columns / 32], bytes: exponents),
      ]
    } else {
      fixture.quantization = ["quant_method": .string("mxfp4")]
      fixture.tensors = [
        TestTensor(name + "_blocks", "U8", [experts, rows, columns / 32, 16], bytes: packed),
        TestTensor(name + "_scales", "U8", [experts, rows, columns / 32], bytes: exponents),
      ]
    }
    let matrix = try fixture.matrix(name, experts * rows, columns)
    #expect(matrix.format == .mxfp4)
    let values = try StoredFixture.floats(matrix)
    for row in 0..<experts * rows {
      for column in 0..<columns {
        let at = row * columns + column
        #expect(values[row][column] == mxfp4(codes[at], exponents[at / 32]))
      }
    }
    fixture.tensors[1].shape[1] = rows - 1
    fixture.tensors[1].bytes.removeLast(experts * columns / 32)
    #expect(
      complaint("", .mismatch, [fixture.tensors[1].name, "[3, 4, 3]"]) {
        _ = try fixture.matrix(name, experts * rows, columns)
      } == nil)
    fixture.tensors.removeLast()
    #expect(
      complaint("", .notFound, [fixture.tensors[0].name, "scales"]) {
        _ = try fixture.matrix(name, experts * rows, columns)
      } == nil)
  }

  /// gpt-oss as it is published and the same numbers in bf16 (there with inputs before outputs).
  @Test func publishedBlocksAreTheirPlainNumbers() throws {
    guard let packed = Fixtures.shared("oracle/a/gpt_oss_mxfp4"),
      let plain = Fixtures.shared("oracle/a/gpt_oss")
    else { return }
    let (left, right) = (try Checkpoint.open(packed), try Checkpoint.open(plain))
    let quantization = try StoredQuantization(config: left.config, subject: packed)
    #expect(quantization == .mxfp4)
    for name in ["gate_up_proj", "down_proj"] {
      let full = "model.layers.1.mlp.experts.\(name)"
      let tensor = try #require(right.tensors[full])
      let (experts, columns, rows) = (tensor.shape[0], tensor.shape[1], tensor.shape[2])
      var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
      try bytes.withUnsafeMutableBytes {
        try right.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
      }
      let stored = try #require(try StoredMatrix(full, in: left, quantization))
      let values = try StoredFixture.floats(
        try stored.rows(
          experts * rows, of: TensorCatalog.Source(full, rows: experts * rows, columns: columns)))
      for row in 0..<experts * rows {
        for column in 0..<columns {
          let at = 2 * ((row / rows * columns + column) * rows + row % rows)
          let word = UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8
          #expect(values[row][column] == Float(bitPattern: word << 16))
        }
      }
    }
  }

  private func e4m3(_ code: UInt8) -> Float {
    let (exponent, mantissa) = (Int(code >> 3 & 15), Double(code & 7))
    let magnitude =
      exponent == 0 ? mantissa / 8 * pow(2, -6) : (1 + mantissa / 8) * pow(2, Double(exponent - 7))
    return Float(code < 128 ? magnitude : -magnitude)
  }

  private func fp8(_ random: inout SeededRandom, _ count: Int) -> [UInt8] {
    random.bytes(count).map { $0 & 127 == 127 ? 0x38 : $0 }
  }

  /// Every way of scaling at odd shapes: what a scale belongs to.
  @Test(arguments: [
    ([200, 300], [2, 3], "F32", "_scale_inv"), ([200, 300], [200, 1], "BF16", "_scale"),
    ([200, 300], [], "F32", "_scale"), ([200, 300], [1], "F32", "_scale"),
    ([3, 130, 64], [3, 2, 1], "F32", "_scale_inv"), ([1, 129], [1, 2], "BF16", "_scale_inv"),
  ])
  func fp8TimesItsScale(shape: [Int], scaleShape: [Int], type: String, suffix: String) throws {
    var random = SeededRandom(seed: 6)
    let (columns, rows) = (shape[shape.count - 1], shape[shape.count - 2])
    let total = shape.dropLast().reduce(1, *)
    let codes = fp8(&random, total * columns)
    let scales = (0..<scaleShape.reduce(1, *)).map { _ in
      Written.rounded(Float.random(in: 0.001...0.1, using: &random), type)
    }
    var fixture = try StoredFixture()
    fixture.quantization = [
      "quant_method": .string("fp8"), "fmt": .string("e4m3"),
      "weight_block_size": .array([.integer(128), .integer(128)]),
    ]
    fixture.tensors = [
      TestTensor("x.weight", "F8_E4M3", shape, bytes: codes),
      TestTensor("x.weight" + suffix, type, scaleShape, bytes: Written.floats(scales, type)),
    ]
    let matrix = try fixture.matrix("x.weight", total, columns)
    #expect(matrix.format == .f32)
    let values = try StoredFixture.floats(matrix)
    let isBlock =
      scaleShape.count > 1 && scaleShape[scaleShape.count - 1] == (columns + 127) / 128
      && suffix == "_scale_inv"
    for row in 0..<total {
      for column in 0..<columns {
        var at = 0
        if isBlock {
          let (down, across) = ((rows + 127) / 128, (columns + 127) / 128)
          at = (row / rows * down + row % rows / 128) * across + column / 128
        } else if scales.count == total {
          at = row
        }
        #expect(values[row][column] == e4m3(codes[row * columns + column]) * scales[at])
      }
    }
  }

  @Test func fp8WithoutItsScaleIsRefused() throws {
    var fixture = try StoredFixture()
    fixture.quantization = ["quant_method": .string("fp8")]
    fixture.tensors = [
      TestTensor("x.weight", "F8_E4M3", [2, 4], bytes: [UInt8](repeating: 0x38, count: 8))
    ]
    #expect(
      complaint("", .notFound, ["x.weight", "x.weight_scale_inv"]) {
        _ = try fixture.matrix("x.weight", 2, 4)
      } == nil)
    fixture.tensors.append(
      TestTensor(
        "x.weight_scale_inv", "F32", [3, 5],
        bytes: Written.floats([Float](repeating: 1, count: 15), "F32")))
    #expect(
      complaint("", .mismatch, ["x.weight_scale_inv", "[3, 5]"]) {
        _ = try fixture.matrix("x.weight", 2, 4)
      } == nil)
    // Plain 8-bit floats stand for themselves.
    fixture.quantization = nil
    fixture.tensors.removeLast()
    #expect(
      try StoredFixture.floats(try fixture.matrix("x.weight", 2, 4)) == [
        [1, 1, 1, 1], [1, 1, 1, 1],
      ])
  }
}
