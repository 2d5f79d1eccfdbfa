import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Promise one: where bytes live, how they are read and how work is split never change a bit.
@Suite struct ExactnessTests {
  /// A way of running that must not matter.
  struct Variant: Sendable, CustomStringConvertible {
    var name: String
    var change: @Sendable (inout EngineOptions) -> Void
    var chunk: Int?
    var description: String { name }

    init(
      _ name: String, chunk: Int? = nil,
      _ change: @escaping @Sendable (inout EngineOptions) -> Void = { _ in }
    ) {
      self.name = name
      self.chunk = chunk
      self.change = change
    }
  }

  static let variants: [Variant] =
    [4, 5, 7, 12, 17, 36].map { (slots: Int) in Variant("\(slots) slots") { $0.slotCount = slots } }
    + CachePolicyKind.allCases.map { policy in
      Variant("policy \(policy.rawValue)") {
        $0.slotCount = 9
        $0.streamer.policy = policy
      }
    }
    + [
      Variant("no prefetch") {
        $0.slotCount = 13
        $0.streamer.prefetch = false
      },
      Variant("pread") {
        $0.slotCount = 6
        $0.streamer.backend = .pread
      },
      Variant("buffered") {
        $0.slotCount = 6
        $0.streamer.direct = .off
      },
      Variant("small reads") {
        $0.slotCount = 6
        $0.streamer.readBytes = 4096
      },
      Variant("one thread") { $0.threadCount = 1 },
      Variant("three threads") { $0.threadCount = 3 },
      Variant("pinned pread") {
        $0.slotCount = 6
        $0.streamer.backend = .pread
        $0.placement = .processors(CPUSet.allowed() ?? [0])
        $0.threadCount = 1
      },
    ]
    + [1, 2, 3, 7, 16, 47].map { (chunk: Int) in
      Variant("chunks of \(chunk)", chunk: chunk) { $0.slotCount = 10 }
    }

  static let options = EngineOptions(budgetBytes: 200 << 20, contextLength: 128, threadCount: 2)

  @Test(arguments: ["none", "q4", "q4a", "q8"])
  func everyVariantGivesTheSameBits(scheme: String) throws {
    let directory = try TemporaryDirectory("exactness")
    let choice = try SchemeChoice(parsing: scheme)
    let store = try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory,
      options: PackingOptions(experts: choice, residents: choice))
    let tokens = try ExpectedTensors(Fixtures.path("oracle/qwen3_moe/expected.safetensors"))
      .integers("input_ids")
    let resident = try Engine(store: store, options: Self.options)
    #expect(resident.plan.slotCount == resident.plan.recordCount)
    let want = try resident.logits(tokens).logits.map(\.bitPattern)
    #expect(Set(want).count > want.count / 2)
    for variant in Self.variants {
      var options = Self.options
      variant.change(&options)
      let engine = try Engine(store: store, options: options)
      for _ in 0..<2 {
        let got = try engine.logits(tokens, chunkLength: variant.chunk).logits.map(\.bitPattern)
        #expect(got == want, "\(variant) with \(scheme)")
      }
    }
  }

  /// Decoding token by token equals prefill of the same tokens, for int8 and f32 activations.
  @Test(arguments: ActivationType.allCases)
  func activationsAreANamedChoice(activations: ActivationType) throws {
    let directory = try TemporaryDirectory("activations")
    let store = try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions())
    let tokens = try ExpectedTensors(Fixtures.path("oracle/qwen3_moe/expected.safetensors"))
      .integers("input_ids")
    var options = Self.options
    options.activations = activations
    let engine = try Engine(store: store, options: options)
    let together = try engine.logits(tokens).logits
    let apart = try engine.logits(tokens, chunkLength: 1).logits
    #expect(together.map(\.bitPattern) == apart.map(\.bitPattern))
  }
}
