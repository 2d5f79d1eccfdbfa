import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// A whole model whose checkpoint is quantized, as MLX publishes it, through the packer.
@Suite struct QuantizedModelTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("quantized") }

  private func affine(_ module: String, _ shape: [Int], _ codes: RandomCodes) -> [TestTensor] {
    var words = shape
    words[shape.count - 1] = codes.columns / 8
    var groups = shape
    groups[shape.count - 1] = codes.groups
    let biases = codes.scales.flatMap { $0 }.map { -8 * $0 }
    return [
      TestTensor(
        module + ".weight", "U32", words, bytes: codes.codes.flatMap { Written.words($0, bits: 4) }),
      TestTensor(
        module + ".scales", "BF16", groups,
        bytes: Written.floats(codes.scales.flatMap { $0 }, "BF16")),
      TestTensor(module + ".biases", "BF16", groups, bytes: Written.floats(biases, "BF16")),
    ]
  }

  @Test func mlxIsPackedAsItIs() throws {
    var model = TestModel()
    let query = "model.layers.0.self_attn.q_proj"
    let experts = "model.layers.1.mlp.experts."
    let table: JSONValue = [
      "group_size": .integer(64), "bits": .integer(4),
      "model.layers.1.mlp.switch_mlp.down_proj": ["group_size": .integer(32), "bits": .integer(4)],
    ]
    model.config["quantization"] = table
    model.config["quantization_config"] = table
    model.tensors.removeAll { $0.name == query + ".weight" || $0.name.hasPrefix(experts) }
    func codes(_ rows: Int, _ columns: Int, _ seed: UInt64) -> RandomCodes {
      RandomCodes(
        rows, columns, bits: 4, groupSize: min(64, columns), scaleType: "BF16", seed: seed,
        isSymmetric: true)
    }
    let (q, gate, up, down) = (
      codes(64, 64, 1), codes(4 * 32, 64, 2), codes(4 * 32, 64, 3), codes(4 * 64, 32, 4)
    )
    model.tensors += affine(query, [64, 64], q)
    let stacked = "model.layers.1.mlp.switch_mlp."
    model.tensors += affine(stacked + "gate_proj", [4, 32, 64], gate)
    model.tensors += affine(stacked + "up_proj", [4, 32, 64], up)
    model.tensors += affine(stacked + "down_proj", [4, 64, 32], down)

    let checkpoint = try Checkpoint.open(try model.write(to: directory, "mlx"))
    let plan = try ModelPacking.plan(checkpoint: checkpoint)
    #expect(plan.warnings.filter { $0.contains("not packed") } == [])
    let result = try Packer.pack(plan, to: directory.file("mlx.fmoe"))
    let contents = try StoreContents(directory.file("mlx.fmoe"))
    #expect(contents.scheme(query + ".weight") == .q4a)
    #expect(try contents.resident(query + ".weight") == q.values.flatMap { $0 })
    #expect(contents.sectionScheme("gate_up") == .q4a && contents.sectionScheme("down") == .q4)
    for expert in 0..<4 {
      let rows = expert * 32..<expert * 32 + 32
      let (g, u) = (Array(gate.values[rows]), Array(up.values[rows]))
      #expect(
        try contents.section("gate_up", expert: expert)
          == (g[..<16] + u[..<16] + g[16...] + u[16...]).flatMap { $0 })
    }
    let lines = result.classes.filter { $0.tensorClass.hasPrefix("experts") }
    #expect(lines.map(\.isExact) == [true, false])
    #expect(lines.map(\.formats) == [[.affine4], [.f32]])
    // Groups of 32 are quantized anew; these ones happen to lie on a grid that the search finds.
    #expect(lines[1].relativeError < 1e-3)
  }

  @Test func unknownWaysOfQuantizingAreRefusedByName() throws {
    var model = TestModel()
    model.config["quantization_config"] = ["quant_method": .string("hqq")]
    let checkpoint = try Checkpoint.open(try model.write(to: directory, "hqq"))
    #expect(
      complaint("", .unsupported, ["config.json", "quant_method", "hqq"]) {
        _ = try ModelPacking.plan(checkpoint: checkpoint)
      } == nil)
  }
}
