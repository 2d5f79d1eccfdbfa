import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// gpt-oss from the 4-bit blocks it is published in, against `transformers`.
@Suite struct PublishedMXFP4Tests {
  @Test func logitsAreThoseOfItsOwnBits() throws {
    guard let checkpoint = Fixtures.shared("oracle/a/gpt_oss_mxfp4") else { return }
    let expected = try ExpectedTensors(checkpoint + "/expected.safetensors")
    let directory = try TemporaryDirectory("mxfp4")
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let schemes = store.manifest.layers.flatMap(\.record.sections).map(\.layout.scheme)
    #expect(!schemes.isEmpty && schemes.allSatisfy { $0 == .mxfp4 })
    let prompt = try expected.integers("input_ids")
    let want = try expected.floats("logits")
    func difference(_ activations: ActivationType) throws -> Float {
      let engine = try Engine(
        store: store,
        options: EngineOptions(
          budgetBytes: 200 << 20, contextLength: 256, activations: activations,
          keyValueType: .f32))
      let got = try engine.logits(prompt).logits
      #expect(got.count == want.count)
      return zip(got, want).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }
    #expect(try difference(.f32) < 1e-3)
    // A code more or less sends a token of so small a model to another expert.
    #expect(try difference(.int8) < 4)
  }
}
