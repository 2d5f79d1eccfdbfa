import Checkpoints
import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Files that llama.cpp's own converter made of the oracle's checkpoints (`--outtype bf16`): names,
/// head orders, transposed matrices and numbers that it changed are undone exactly.
@Suite struct ConvertedGGUFTests {
  private static let files = ((try? FileSystem.list(Fixtures.path("gguf-models"))) ?? []).sorted()

  @Test(arguments: files) func givesTransformersLogits(file: String) throws {
    let fixture = Fixtures.path("oracle/" + file.dropLast(".gguf".count))
    let expected = try ExpectedTensors(fixture + "/expected.safetensors")
    let directory = try TemporaryDirectory("converted")
    let output = directory.file("model.fmoe")
    let plan = try ModelPacking.plan(
      checkpoint: try Checkpoint.open(Fixtures.path("gguf-models/" + file)),
      options: OracleStore.exact)
    #expect(plan.warnings.filter { $0.contains("no part of this architecture") }.isEmpty)
    _ = try Packer.pack(plan, to: output)
    let engine = try Engine(
      store: Store(opening: output),
      options: EngineOptions(budgetBytes: 200 << 20, contextLength: 256))
    for (ids, name) in [("input_ids", "logits"), ("long_input_ids", "long_logits")] {
      let got = try engine.logits(try expected.integers(ids)).logits
      let want = try expected.floats(name)
      let worst = zip(got.suffix(want.count), want).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
      #expect(worst < 1e-3, "\(file), \(name): \(worst)")
    }
  }

  @Test func filesAreThere() { #expect(Self.files.count >= 4) }
}
