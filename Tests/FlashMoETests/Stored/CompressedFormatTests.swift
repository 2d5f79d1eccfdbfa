import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// compressed-tensors' packed integers, written here from their published layout.
@Suite struct CompressedFormatTests {
  private static let compressed: JSONValue = [
    "quant_method": .string("compressed-tensors"), "format": .string("pack-quantized"),
  ]

  @Test(arguments: [
    (4, 128, "F16", true, 256, SourceFormat.q4_0), (4, 128, "BF16", true, 256, .affine4),
    (4, 32, "BF16", true, 256, .f32), (4, 0, "F16", true, 256, .q4_0),
    (4, 0, "BF16", true, 100, .f32),
    (4, 128, "BF16", false, 256, .affine4Wide), (4, 32, "F16", false, 96, .f32),
    (8, 64, "F16", true, 128, .q8_0), (8, 64, "BF16", false, 128, .f32),
  ])
  func compressedTensors(
    bits: Int, group: Int, type: String, symmetric: Bool, columns: Int, format: SourceFormat
  ) throws {
    let rows = 21
    let codes = RandomCodes(
      rows, columns, bits: bits, groupSize: group == 0 ? columns : group, scaleType: type,
      seed: UInt64(columns + bits), isSymmetric: symmetric)
    var fixture = try StoredFixture()
    fixture.quantization = Self.compressed
    let words = (columns * bits + 31) / 32
    fixture.tensors = [
      TestTensor(
        "x.weight_packed", "I32", [rows, words],
        bytes: codes.codes.flatMap { Written.words($0, bits: bits) }),
      TestTensor(
        "x.weight_scale", type, [rows, codes.groups],
        bytes: Written.floats(codes.scales.flatMap { $0 }, type)),
      TestTensor(
        "x.weight_shape", "I64", [2], bytes: Written.integers([Int64(rows), Int64(columns)])),
    ]
    if !symmetric {
      let perWord = 32 / bits
      var zeros = [UInt32](repeating: 0, count: (rows + perWord - 1) / perWord * codes.groups)
      for row in 0..<rows {
        for group in 0..<codes.groups {
          zeros[row / perWord * codes.groups + group] |=
            UInt32(codes.zeros[row][group]) << UInt32(row % perWord * bits)
        }
      }
      fixture.tensors.append(
        TestTensor(
          "x.weight_zero_point", "I32", [zeros.count / codes.groups, codes.groups],
          bytes: Written.integers(zeros)))
    }
    let matrix = try fixture.matrix("x.weight", rows, columns)
    #expect(matrix.format == format)
    let values = try StoredFixture.floats(matrix)
    #expect(values == codes.values)
    if !symmetric {
      // Older files keep zero points as signed bytes.
      fixture.tensors[3] = TestTensor(
        "x.weight_zero_point", "I8", [rows, codes.groups],
        bytes: codes.zeros.flatMap { $0.map { UInt8(bitPattern: Int8($0 - 1 << (bits - 1))) } })
      #expect(
        try StoredFixture.floats(try fixture.matrix("x.weight", rows, columns)) == codes.values)
    }
    fixture.tensors[2].bytes = Written.integers([Int64(rows), Int64(columns + 1)])
    #expect(
      complaint("", .mismatch, ["x.weight_shape", "\(columns + 1)"]) {
        _ = try fixture.matrix("x.weight", rows, columns)
      } == nil)
    fixture.quantization = [
      "quant_method": .string("compressed-tensors"), "format": .string("nvfp4-pack-quantized"),
    ]
    #expect(
      complaint("", .unsupported, ["nvfp4-pack-quantized"]) {
        _ = try fixture.matrix("x.weight", rows, columns)
      } == nil)
  }

  /// `actorder`: groups that are not neighbours.
  @Test func compressedTensorsInAnOrderOfTheirOwn() throws {
    let (rows, columns, group) = (8, 128, 32)
    var codes = RandomCodes(
      rows, columns, bits: 4, groupSize: group, scaleType: "BF16", seed: 9, isSymmetric: true)
    let order = (0..<columns).map { Int32($0 * 51 % columns / group) }
    codes.groupOf = { Int(order[$0]) }
    var fixture = try StoredFixture()
    fixture.quantization = Self.compressed
    fixture.tensors = [
      TestTensor(
        "x.weight_packed", "I32", [rows, columns / 8],
        bytes: codes.codes.flatMap { Written.words($0, bits: 4) }),
      TestTensor(
        "x.weight_scale", "BF16", [rows, 4],
        bytes: Written.floats(codes.scales.flatMap { $0 }, "BF16")),
      TestTensor("x.weight_g_idx", "I32", [columns], bytes: Written.integers(order)),
    ]
    #expect(try StoredFixture.floats(try fixture.matrix("x.weight", rows, columns)) == codes.values)
  }
}
