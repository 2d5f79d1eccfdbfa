import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// A whole engine with a small cache, and a replay of what its routers chose.
@Suite struct ReplayTests {
  private static let limit = 0.005

  private static func store() throws -> Store {
    try Store(opening: Fixtures.packageRoot + "/Models/demo.fmoe")
  }

  private static func engine(slots: Int, prediction: Bool = false) throws -> Engine {
    var options = EngineOptions(budgetBytes: 64 << 20, contextLength: 1024, slotCount: slots)
    options.streamer.prefetch = prediction
    return try Engine(store: try store(), options: options)
  }

  /// A text of the model's own, which does not run in circles.
  private static func text() async throws -> [Int32] {
    var sampling = SamplingOptions()
    sampling.temperature = 0.9
    sampling.seed = 11
    let engine = try engine(slots: 384)
    var ids = try engine.encode(.text("Once upon a time there was a miller who"))
    for try await token in engine.generate(
      .text("Once upon a time there was a miller who"),
      options: GenerationOptions(maximumTokens: 700, sampling: sampling, ignoresEndTokens: true))
    {
      if let id = token.id { ids.append(id) }
    }
    return ids
  }

  private static func replay(
    _ trace: RoutingTrace, slots: Int, prediction: Bool, _ kind: CachePolicyKind
  )
    -> CacheReplay.Outcome
  {
    CacheReplay(trace).run(
      .online(kind), CacheReplay.Options(slotCount: slots, prediction: prediction))
  }

  @Test func hitRatesAgree() async throws {
    let ids = try await Self.text()
    // What routers choose does not depend on the cache: one trace serves all.
    let trace = try Self.engine(slots: 384).trace([("text", ids)])
    for slots in [46, 96, 192] {
      for prediction in [false, true] {
        let engine = try Self.engine(slots: slots, prediction: prediction)
        let found = try engine.withCore { core throws(Failure) in
          core.startOver()
          for id in ids { try core.process([id]) }
          return core.streamStatistics
        }
        let replayed = Self.replay(trace, slots: slots, prediction: prediction, .foresight)
        #expect(found.lookups == replayed.lookups)
        // A busy disk drops predicted reads, which costs the hits they would have been.
        let dropped =
          abs(replayed.speculativeBytes - found.speculativeBytes) / trace.layers[0].recordBytes
        let difference = abs(found.hits + found.hitsInFlight - replayed.hits)
        #expect(
          Double(difference) < Self.limit * Double(found.lookups) + Double(2 * dropped),
          "\(slots), \(prediction)")
        if !prediction {
          #expect(found.hits == replayed.hits)
          #expect(found.demandBytes == replayed.demandBytes)
        }
        // Another policy and another size are told apart.
        let other = Self.replay(trace, slots: slots, prediction: prediction, .lru)
        #expect(abs(found.hitRate - other.hitRate) > Self.limit)
        #expect(replayed.speculativeBytes > 0 || !prediction)
        let larger = Self.replay(trace, slots: slots + 8, prediction: prediction, .foresight)
        #expect(abs(found.hitRate - larger.hitRate) > Self.limit)
      }
    }
  }
}
