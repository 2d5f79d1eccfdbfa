import Support
import Synchronization
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// The trained model: its margins are as thin as real models' are.
@Suite struct DemoModelTests {
  /// Logits and greedy text of the unquantized checkpoint, where it is beside the package.
  @Test func agreesWithTransformers() async throws {
    guard let checkpoint = Fixtures.shared("demo-model") else { return }
    let directory = try TemporaryDirectory("demo")
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let expected = try ExpectedTensors(checkpoint + "/expected.safetensors")
    let text = try FileSystem.readJSON(checkpoint + "/expected.json")
    let prompt = try #require(text["prompt"]?.string)
    // A fifth of the experts fit: nothing here may depend on what is cached.
    let engine = try Engine(
      store: store, options: EngineOptions(budgetBytes: 64 << 20, contextLength: 512, slotCount: 77)
    )
    let result = try engine.logits(try expected.integers("input_ids"))
    let want = try expected.floats("logits")
    let difference = zip(result.logits.suffix(want.count), want).reduce(Float(0)) {
      max($0, abs($1.0 - $1.1))
    }
    #expect(difference < 1e-3)

    let greedy = try expected.integers("greedy_ids")
    let start = try engine.encode(.text(prompt))
    let generation = engine.generate(
      .text(prompt), options: GenerationOptions(maximumTokens: greedy.count - start.count))
    var ids = start
    var written = prompt
    for try await token in generation {
      if let id = token.id { ids.append(id) }
      written += token.text
    }
    #expect(ids == greedy)
    #expect(written == text["greedy_text"]?.string)
    let summary = try #require(generation.summary)
    #expect(summary.decode.streaming.misses > 0)
  }

  /// The model in the repository: whole, and the same text from a sliver of cache as from all.
  @Test func theShippedStoreIsSoundAndStreamsExactly() async throws {
    let path = Fixtures.packageRoot + "/Models/demo.fmoe"
    #expect(try Verification.verify(path).isSound)
    let store = try Store(opening: path)
    var texts: [String] = []
    for budgetBytes in [14_000_000, 20_000_000, 64_000_000] {
      let engine = try Engine(
        store: store, options: EngineOptions(budgetBytes: budgetBytes, contextLength: 256))
      var sampling = SamplingOptions()
      sampling.temperature = 0.8
      sampling.seed = 7
      var text = ""
      for try await token in engine.generate(
        .text("Once upon a time"), options: GenerationOptions(maximumTokens: 60, sampling: sampling)
      ) {
        text += token.text
      }
      texts.append(text)
    }
    #expect(texts[0] == texts[1] && texts[1] == texts[2])
    #expect(texts[0].split(separator: " ").count > 20)
  }

  /// Cancelling leaves the engine usable, and what follows is what a fresh engine would say.
  @Test func cancellationLeavesTheEngineUsable() async throws {
    let store = try Store(opening: Fixtures.packageRoot + "/Models/demo.fmoe")
    let engine = try Engine(
      store: store, options: EngineOptions(budgetBytes: 20_000_000, contextLength: 256))
    // The engine waits until the generation is known, and cancels it from within its tenth token:
    // however busy the machine is, it is neither done nor untouched then.
    let known = Signal()
    let box = Box()
    engine.enqueue { result in
      known.wait()
      var layers = 0
      (try? result.get())?.core.decoder.routerObserver = { _, _, _, _ in
        layers += 1
        if layers == 60 { box.generation.withLock { $0?.cancel() } }
      }
    }
    let first = engine.generate(.text("The king"), options: GenerationOptions(maximumTokens: 200))
    box.generation.withLock { $0 = first }
    known.signal()
    var seen = 0
    for try await _ in first { seen += 1 }
    try engine.withCore { core throws(Failure) in core.decoder.routerObserver = nil }
    #expect(seen > 0 && seen < 20)
    #expect(first.summary?.finishReason == .cancelled)
    func text(_ engine: Engine) async throws -> String {
      var text = ""
      for try await token in engine.generate(
        .text("The king said"), options: GenerationOptions(maximumTokens: 20))
      {
        text += token.text
      }
      return text
    }
    let fresh = try Engine(
      store: store, options: EngineOptions(budgetBytes: 64_000_000, contextLength: 256))
    let after = try await text(engine)
    #expect(try await text(fresh) == after)
  }

  private final class Box: Sendable {
    let generation = Mutex<Generation?>(nil)
  }
}
