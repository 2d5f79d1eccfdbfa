import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Activation statistics: what is recorded, and what packing makes of it.
@Suite struct ImportanceTests {
  private let directory: TemporaryDirectory
  private let checkpoint = Fixtures.path("oracle/qwen3_moe")

  init() throws { directory = try TemporaryDirectory("importance") }

  private func floats(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
    let tensor = try #require(file.tensors[name])
    var values = [Float](repeating: 0, count: tensor.elementCount)
    try values.withUnsafeMutableBytes {
      try file.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
    }
    return values
  }

  private func record() throws -> (path: String, profile: Profile, store: Store) {
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let engine = try Engine(
      store: store, options: EngineOptions(budgetBytes: 200 << 20, contextLength: 256))
    let recorder = ImportanceRecorder(store, engine.configuration)
    let tokens = try ExpectedTensors(checkpoint + "/expected.safetensors").integers(
      "long_input_ids")
    let profile = try engine.calibrate(
      [("text", tokens)], options: CalibrationOptions(predictionTokens: 1), importance: recorder)
    let path = directory.file("importance.safetensors")
    try recorder.write(to: path)
    return (path, profile, store)
  }

  /// Rows are those of the profile, and inputs are normalized: divided by the norm's weight, an
  /// input's mean square is one.
  @Test func inputsAreWhatExpertsSaw() throws {
    let (path, profile, store) = try record()
    let file = try SafetensorsFile(path)
    let exact = try StoreContents(store.path)
    for (at, layer) in store.manifest.layers.enumerated() {
      let rows = try floats(file, "layers.\(layer.layer).rows")
      #expect(rows.map { Int($0) } == profile.popularity[at])
      let squares = try floats(file, "layers.\(layer.layer).gate_up")
      let weight = try #require(
        try exact.resident("model.layers.\(layer.layer).post_attention_layernorm.weight"))
      for expert in rows.indices where rows[expert] > 0 {
        let means = weight.indices.map {
          squares[expert * weight.count + $0] / (weight[$0] * weight[$0])
        }
        #expect(abs(means.reduce(0, +) / Float(weight.count) - 1) < 1e-3)
      }
      let down = try floats(file, "layers.\(layer.layer).down")
      #expect(down.count % rows.count == 0 && down.contains { $0 > 0 })
    }
  }

  @Test func weightedScalesServeWhatMatters() throws {
    let (path, _, _) = try record()
    func pack(_ name: String, _ importance: Importance?) throws -> StoreContents {
      var options = PackingOptions(experts: .scheme(.q3))
      options.importance = importance
      let plan = try ModelPacking.plan(
        checkpoint: try Checkpoint.open(checkpoint), options: options)
      _ = try Packer.pack(plan, to: directory.file(name))
      return try StoreContents(directory.file(name))
    }
    let importance = try Importance(path)
    let (plain, weighted) = (try pack("plain.fmoe", nil), try pack("weighted.fmoe", importance))
    let held = try TemporaryDirectory("exact")
    let exact = try StoreContents(
      try OracleStore.pack(
        checkpoint, in: held, options: try OracleStore.exact
      ).path)
    var (before, after) = (0.0, 0.0)
    for (at, layer) in plain.store.manifest.layers.enumerated() {
      for expert in 0..<layer.expertCount {
        for section in ["gate_up", "down"] {
          let columns = try importance.columns(layer: layer.layer, section: section, expert: expert)
          guard let columns else { continue }
          let source = try #require(try exact.section(section, layer: at, expert: expert))
          func error(_ contents: StoreContents) throws -> Double {
            let values = try #require(try contents.section(section, layer: at, expert: expert))
            return zip(values, source).enumerated().reduce(0) { sum, next in
              let difference = Double(next.element.0 - next.element.1)
              return sum + difference * difference * Double(columns[next.offset % columns.count])
            }
          }
          before += try error(plain)
          after += try error(weighted)
        }
      }
    }
    #expect(after < before * 0.99, "\(after / before)")
    #expect(weighted.store.manifest.source["quantizer"]?.string == "weighted-search")
  }

  @Test func filesThatDoNotFitAreRefused() throws {
    let other = directory.file("other.safetensors")
    try directory.write(
      CheckpointBytes.safetensors([TestTensor("a", "F32", [1], bytes: [0, 0, 0, 0])]),
      to: "other.safetensors")
    #expect(
      complaint("", .malformed, ["other.safetensors", "activation statistics"]) {
        _ = try Importance(other)
      } == nil)
    let (path, _, _) = try record()
    let importance = try Importance(path)
    var options = PackingOptions()
    options.importance = importance
    let model = try TestModel().write(to: directory, "model")
    #expect(
      complaint("", .mismatch, ["importance.safetensors", "layers.1.gate_up"]) {
        _ = try ModelPacking.plan(checkpoint: try Checkpoint.open(model), options: options)
      } == nil)
  }
}
