import Checkpoints
import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Every family from GGUF: the same logits as from the safetensors it was made of.
@Suite struct FamilyGGUFTests {
  private static func logits(
    _ checkpoint: Checkpoint, _ directory: TemporaryDirectory, _ ids: [Int32]
  )
    throws -> LogitsResult
  {
    let output = directory.file("store-\(UInt32.random(in: 0...UInt32.max)).fmoe")
    let plan = try ModelPacking.plan(checkpoint: checkpoint, options: OracleStore.exact)
    _ = try Packer.pack(plan, to: output)
    let engine = try Engine(
      store: Store(opening: output),
      options: EngineOptions(budgetBytes: 200 << 20, contextLength: 256))
    return try engine.logits(ids, wantsRouting: true)
  }

  @Test(arguments: FamilyGGUF.architectures.keys.sorted())
  func givesTheLogitsOfSafetensors(fixture: String) throws {
    let directory = try TemporaryDirectory("gguf")
    let expected = try ExpectedTensors(Fixtures.path("oracle/\(fixture)/expected.safetensors"))
    let file = try directory.write(try FamilyGGUF(fixture).bytes, to: "model.gguf")
    let ids = try expected.integers("input_ids")
    let result = try Self.logits(try Checkpoint.open(file), directory, ids)
    let difference = zip(result.logits, try expected.floats("logits"))
      .reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    #expect(difference < 1e-3, "\(fixture) differs by \(difference)")
    let original = try Self.logits(
      try Checkpoint.open(Fixtures.path("oracle/" + fixture)), directory, ids)
    let own = zip(result.logits, original.logits).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    #expect(own < 1e-4, "\(fixture) differs from its own safetensors by \(own)")
    #expect(result.routing.map(\.indices) == original.routing.map(\.indices))
  }

  @Test func modelsWithoutExpertsAreRefused() throws {
    let directory = try TemporaryDirectory("dense")
    var random = SeededRandom(seed: 3)
    let file = try directory.write(
      CheckpointBytes.gguf(
        [("general.architecture", .string("llama")), ("llama.block_count", .integer(1))],
        [TestTensor("token_embd.weight", "F32", [8, 4], &random)]), to: "dense.gguf")
    #expect {
      _ = try ModelPacking.plan(checkpoint: try Checkpoint.open(file))
    } throws: { "\($0)".contains("no experts") }
  }
}
