import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// MLX, GPTQ and AWQ, each written here from its published layout.
@Suite struct IntegerFormatTests {
  @Test(arguments: [
    (4, 64, "BF16", SourceFormat.affine4), (4, 128, "BF16", .affine4), (4, 32, "BF16", .f32),
    (4, 64, "F16", .affine4Wide), (4, 64, "F32", .affine4Wide), (8, 64, "BF16", .f32),
    (2, 64, "BF16", .f32), (3, 64, "F16", .f32), (5, 64, "BF16", .f32), (6, 32, "BF16", .f32),
  ])
  func mlxIsScaleTimesCodePlusBias(bits: Int, group: Int, type: String, format: SourceFormat) throws
  {
    let (experts, rows, columns) = (2, 5, 256)
    let codes = RandomCodes(
      experts * rows, columns, bits: bits, groupSize: group, scaleType: type,
      seed: UInt64(bits * group), isSymmetric: true)
    var random = SeededRandom(seed: 3)
    let biases = codes.scales.map {
      $0.map { _ in Written.rounded(Float.random(in: -1...1, using: &random), type) }
    }
    var fixture = try StoredFixture()
    fixture.key = "quantization"
    fixture.quantization = [
      "bits": .integer(7), "group_size": .integer(16),
      "model.layers.0.mlp.switch_mlp.up_proj": [
        "bits": .integer(bits), "group_size": .integer(group),
      ],
      "model.layers.0.other": .bool(false),
    ]
    let module = "model.layers.0.mlp.switch_mlp.up_proj"
    fixture.tensors = [
      TestTensor(
        module + ".weight", "U32", [experts, rows, columns * bits / 32],
        bytes: codes.codes.flatMap { Written.words($0, bits: bits) }),
      TestTensor(
        module + ".scales", type, [experts, rows, codes.groups],
        bytes: Written.floats(codes.scales.flatMap { $0 }, type)),
      TestTensor(
        module + ".biases", type, [experts, rows, codes.groups],
        bytes: Written.floats(biases.flatMap { $0 }, type)),
    ]
    let expected = (0..<experts * rows).map { row in
      (0..<columns).map {
        codes.scales[row][$0 / group] * Float(codes.codes[row][$0]) + biases[row][$0 / group]
      }
    }
    let all = try fixture.matrix(module + ".weight", experts * rows, columns)
    #expect(all.format == format)
    #expect(try StoredFixture.floats(all) == expected)
    // The expert by itself, as catalogues of published checkpoints name it.
    for name in [
      "model.layers.0.mlp.experts.1.up_proj.weight", "model.layers.0.mlp.experts.1.w3.weight",
    ] {
      let one = try fixture.matrix(name, rows, columns)
      #expect(try StoredFixture.floats(one) == Array(expected[rows...]))
    }
    #expect(
      complaint("", .mismatch, ["2 experts", "number 2"]) {
        _ = try fixture.matrix("model.layers.0.mlp.experts.2.up_proj.weight", rows, columns)
      } == nil)
    fixture.quantization = ["bits": .integer(bits == 8 ? 4 : 8), "group_size": .integer(group)]
    #expect(
      complaint("", .mismatch, [module, "\(bits) bits in groups of \(group)"]) {
        _ = try fixture.matrix(module + ".weight", experts * rows, columns)
      } == nil)
    fixture.tensors.removeLast()
    #expect(
      complaint("", .notFound, [module + ".biases"]) {
        _ = try fixture.matrix(module + ".weight", experts * rows, columns)
      } == nil)
  }

  /// GPTQ as AutoGPTQ packs it: inputs in words, outputs as columns.
  private func gptq(
    _ codes: RandomCodes, type: String, storedMinus: Int, order: [Int32]?
  ) -> [TestTensor] {
    let (rows, columns, bits, groups) = (codes.rows, codes.columns, codes.bits, codes.groups)
    let perWord = 32 / bits
    var words = [UInt32](repeating: 0, count: columns / perWord * rows)
    for row in 0..<rows {
      for column in 0..<columns {
        words[column / perWord * rows + row] |=
          UInt32(codes.codes[row][column]) << UInt32(column % perWord * bits)
      }
    }
    var zeros = [UInt32](repeating: 0, count: groups * rows / perWord)
    for row in 0..<rows {
      for group in 0..<groups {
        let stored = (codes.zeros[row][group] - storedMinus) & (1 << bits - 1)
        zeros[(group * rows + row) / perWord] |= UInt32(stored) << UInt32(row % perWord * bits)
      }
    }
    let scales = (0..<groups).flatMap { group in (0..<rows).map { codes.scales[$0][group] } }
    let index = order ?? (0..<columns).map { Int32($0 / codes.groupSize) }
    return [
      TestTensor("x.qweight", "I32", [columns / perWord, rows], bytes: Written.integers(words)),
      TestTensor("x.qzeros", "I32", [groups, rows / perWord], bytes: Written.integers(zeros)),
      TestTensor("x.scales", type, [groups, rows], bytes: Written.floats(scales, type)),
      TestTensor("x.g_idx", "I32", [columns], bytes: Written.integers(index)),
    ]
  }

  private func gptqConfig(
    bits: Int, group: Int, symmetric: Bool, reorders: Bool = false, format: String? = nil
  ) -> JSONValue {
    var config: JSONObject = [
      "quant_method": .string("gptq"), "bits": .integer(bits), "group_size": .integer(group),
      "sym": .bool(symmetric), "desc_act": .bool(reorders),
    ]
    if let format { config["checkpoint_format"] = .string(format) }
    return .object(config)
  }

  @Test(arguments: [
    (4, 128, true, "F16", SourceFormat.q4_0), (4, 32, true, "F16", .q4_0),
    (4, -1, true, "F16", .q4_0),
    (4, 128, false, "F16", .affine4Wide), (4, 32, false, "F16", .f32), (8, 64, true, "F16", .q8_0),
    (4, 64, true, "BF16", .affine4Wide), (8, 128, false, "F16", .f32),
  ])
  func gptqInBothVersions(
    bits: Int, group: Int, symmetric: Bool, type: String, format: SourceFormat
  ) throws {
    let (rows, columns) = (40, 256)
    let codes = RandomCodes(
      rows, columns, bits: bits, groupSize: group < 0 ? columns : group, scaleType: type,
      seed: UInt64(bits + group + 1), isSymmetric: symmetric)
    var fixture = try StoredFixture()
    for (version, minus) in [("gptq", 1), ("gptq_v2", 0)] {
      fixture.quantization = gptqConfig(
        bits: bits, group: group, symmetric: symmetric, format: version)
      fixture.tensors = gptq(codes, type: type, storedMinus: minus, order: nil)
      let matrix = try fixture.matrix("x.weight", rows, columns)
      #expect(matrix.format == format)
      #expect(try StoredFixture.floats(matrix) == codes.values, "\(version)")
    }
  }

  @Test func gptqInAnOrderOfItsOwn() throws {
    let (rows, columns, group) = (24, 128, 32)
    var codes = RandomCodes(
      rows, columns, bits: 4, groupSize: group, scaleType: "F16", seed: 5, isSymmetric: true)
    let order = (0..<columns).map { Int32($0 * 37 % columns / group) }
    codes.groupOf = { Int(order[$0]) }
    var fixture = try StoredFixture()
    fixture.quantization = gptqConfig(bits: 4, group: group, symmetric: true, reorders: true)
    fixture.tensors = gptq(codes, type: "F16", storedMinus: 1, order: order)
    let matrix = try fixture.matrix("x.weight", rows, columns)
    #expect(matrix.format == .f32)
    #expect(try StoredFixture.floats(matrix) == codes.values)
    // Without desc_act such an order is a contradiction.
    fixture.quantization = gptqConfig(bits: 4, group: group, symmetric: true)
    #expect(
      complaint("", .mismatch, ["x.g_idx", "desc_act"]) {
        _ = try StoredFixture.floats(try fixture.matrix("x.weight", rows, columns))
      } == nil)
    fixture.quantization = gptqConfig(bits: 4, group: group, symmetric: true, reorders: true)
    fixture.tensors[3].bytes.replaceSubrange(0..<4, with: Written.integers([Int32(4)]))
    #expect(
      complaint("", .malformed, ["x.g_idx", "group 4 of 4"]) {
        _ = try fixture.matrix("x.weight", rows, columns)
      } == nil)
    fixture.tensors.removeLast()
    #expect(
      complaint("", .malformed, ["x.qweight", "g_idx"]) {
        _ = try fixture.matrix("x.weight", rows, columns)
      } == nil)
  }

  @Test func gptqThatLiesIsRefused() throws {
    let codes = RandomCodes(
      16, 64, bits: 4, groupSize: 32, scaleType: "F16", seed: 5, isSymmetric: false)
    var fixture = try StoredFixture()
    fixture.tensors = gptq(codes, type: "F16", storedMinus: 1, order: nil)
    func refused(_ kind: Failure.Kind, _ pieces: [String], _ config: JSONValue?, columns: Int = 64)
    {
      var changed = fixture
      changed.quantization = config
      #expect(
        complaint("", kind, pieces) {
          _ = try StoredFixture.floats(try changed.matrix("x.weight", 16, columns))
        } == nil)
    }
    refused(.mismatch, ["x.qzeros", "zero point"], gptqConfig(bits: 4, group: 32, symmetric: true))
    refused(
      .mismatch, ["x.scales", "2 groups", "groups of 64"],
      gptqConfig(bits: 4, group: 64, symmetric: false))
    refused(.mismatch, ["x.qweight", "[8, 16]"], gptqConfig(bits: 8, group: 32, symmetric: false))
    refused(.mismatch, ["x.scales"], gptqConfig(bits: 4, group: 32, symmetric: false), columns: 96)
    refused(.unsupported, ["3 bits"], gptqConfig(bits: 3, group: 32, symmetric: false))
    refused(
      .unsupported, ["checkpoint_format", "marlin"],
      gptqConfig(bits: 4, group: 32, symmetric: false, format: "marlin"))
    refused(.unsupported, ["x.qweight", "quantization_config"], nil)
    refused(
      .unsupported, ["quant_method", "bitsandbytes"], ["quant_method": .string("bitsandbytes")])
    fixture.tensors.remove(at: 1)
    refused(.notFound, ["x.qweight", "x.qzeros"], gptqConfig(bits: 4, group: 32, symmetric: false))
  }

  @Test(arguments: [(128, SourceFormat.affine4Wide), (32, .f32), (-1, .affine4Wide)])
  func awqUndoesItsOrder(group: Int, format: SourceFormat) throws {
    let (rows, columns) = (56, 256)
    let size = group < 0 ? columns : group
    let codes = RandomCodes(
      rows, columns, bits: 4, groupSize: size, scaleType: "F16", seed: 8, isSymmetric: false)
    // AutoAWQ: bits 4i of a word hold output `order[i]` of its eight.
    let order = [0, 2, 4, 6, 1, 3, 5, 7]
    func pack(_ lines: Int, _ code: (Int, Int) -> Int) -> [UInt8] {
      Written.integers(
        (0..<lines).flatMap { line in
          (0..<rows / 8).map { word in
            order.enumerated().reduce(UInt32(0)) { sum, next in
              sum | UInt32(code(line, 8 * word + next.element)) << UInt32(4 * next.offset)
            }
          }
        })
    }
    var fixture = try StoredFixture()
    fixture.quantization = [
      "quant_method": .string("awq"), "bits": .integer(4), "group_size": .integer(group),
      "zero_point": .bool(true), "version": .string("gemm"),
    ]
    fixture.tensors = [
      TestTensor(
        "x.qweight", "I32", [columns, rows / 8], bytes: pack(columns) { codes.codes[$1][$0] }),
      TestTensor(
        "x.qzeros", "I32", [codes.groups, rows / 8],
        bytes: pack(codes.groups) { codes.zeros[$1][$0] }),
      TestTensor(
        "x.scales", "F16", [codes.groups, rows],
        bytes: Written.floats(
          (0..<codes.groups).flatMap { group in (0..<rows).map { codes.scales[$0][group] } }, "F16")
      ),
    ]
    let matrix = try fixture.matrix("x.weight", rows, columns)
    #expect(matrix.format == format)
    #expect(try StoredFixture.floats(matrix) == codes.values)
    fixture.quantization = [
      "quant_method": .string("awq"), "bits": .integer(4), "version": .string("gemv"),
    ]
    #expect(
      complaint("", .unsupported, ["version", "gemv"]) {
        _ = try fixture.matrix("x.weight", rows, columns)
      } == nil)
  }
}
