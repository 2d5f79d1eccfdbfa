import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// The promise of exactness for every family: streamed equals resident, chunks equal steps.
@Suite struct FamilyExactnessTests {
  private static let options = EngineOptions(
    budgetBytes: 200 << 20, contextLength: 512, threadCount: 2)

  private static func tokens(_ fixture: String) throws -> [Int32] {
    let tokens = try ExpectedTensors(Fixtures.path("oracle/\(fixture)/expected.safetensors"))
      .integers("long_input_ids")
    // The whole text goes round the ring of a window.
    return fixture.hasPrefix("gpt_oss") ? tokens : Array(tokens.prefix(150))
  }

  @Test(arguments: OracleStore.families, ["none", "auto", "q4a"])
  func everyVariantGivesTheSameBits(fixture: String, scheme: String) throws {
    let directory = try TemporaryDirectory("family")
    let choice = try SchemeChoice(parsing: scheme)
    let store = try OracleStore.pack(
      Fixtures.path("oracle/" + fixture), in: directory,
      options: PackingOptions(experts: choice, residents: choice))
    let tokens = try Self.tokens(fixture)
    let resident = try Engine(store: store, options: Self.options)
    #expect(resident.plan.slotCount == resident.plan.recordCount)
    let want = try resident.logits(tokens).logits.map(\.bitPattern)
    #expect(Set(want).count > want.count / 2)
    let least = resident.configuration.experts.perToken
    let variants: [(name: String, chunk: Int?, change: (inout EngineOptions) -> Void)] = [
      ("fewest slots", nil, { $0.slotCount = least }),
      ("twice as many", 13, { $0.slotCount = 2 * least + 1 }),
      ("token by token", 1, { $0.slotCount = 2 * least }),
      ("one thread, chunks of 37", 37, { $0.threadCount = 1 }),
      (
        "pread, three threads, no prefetch, chunks of 5", 5,
        {
          $0.streamer.backend = .pread
          $0.streamer.prefetch = false
          $0.slotCount = least + 2
          $0.threadCount = 3
        }
      ),
    ]
    for variant in variants {
      var options = Self.options
      variant.change(&options)
      let engine = try Engine(store: store, options: options)
      let got = try engine.logits(tokens, chunkLength: variant.chunk).logits.map(\.bitPattern)
      #expect(got == want, "\(variant.name), \(fixture) with \(scheme)")
    }
  }

  /// Quantized families run: 4-bit logits stay near those of the source's bits.
  @Test(arguments: OracleStore.families)
  func fourBitsStayNear(fixture: String) throws {
    let directory = try TemporaryDirectory("near")
    let checkpoint = Fixtures.path("oracle/" + fixture)
    let tokens = Array(try Self.tokens(fixture).prefix(24))
    func logits(_ options: PackingOptions) throws -> [Float] {
      let store = try OracleStore.pack(checkpoint, in: directory, options: options)
      return try Engine(store: store, options: Self.options).logits(tokens).logits
    }
    let exact = try logits(OracleStore.exact)
    let packed = try logits(PackingOptions())
    let differences = zip(exact, packed).map { abs($0 - $1) }.sorted()
    let spread = (exact.reduce(0) { $0 + $1 * $1 } / Float(exact.count)).squareRoot()
    // The middle one: a token whose expert changed with the last bits is far off.
    #expect(differences[differences.count / 2] < spread / 2)
    #expect((differences.last ?? 0) > 1e-4)
  }
}
