import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// States of all kinds put aside and back: nothing that follows changes by a bit.
@Suite struct SavedContextTests {
  private static func engine(_ fixture: String, context: Int = 256) throws -> (
    engine: Engine, tokens: [Int32], directory: TemporaryDirectory
  ) {
    let directory = try TemporaryDirectory("saved")
    let checkpoint = Fixtures.path("oracle/" + fixture)
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let engine = try Engine(
      store: store,
      options: EngineOptions(budgetBytes: 200 << 20, contextLength: context, threadCount: 2))
    let tokens = try ExpectedTensors(checkpoint + "/expected.safetensors")
      .integers("long_input_ids")
    return (engine, tokens, directory)
  }

  @Test(arguments: OracleStore.families)
  func whatFollowsIsTheSame(fixture: String) throws {
    let (engine, tokens, directory) = try Self.engine(fixture)
    defer { withExtendedLifetime(directory) {} }
    for cut in [1, 16, 63, 64, 65, 131] {
      try engine.withCore { core throws(Failure) in
        func logits(after tokens: ArraySlice<Int32>, chunk: Int) throws(Failure) -> [UInt32] {
          var all: [UInt32] = []
          try core.process(Array(tokens), chunkLength: chunk) { _, rows in
            for row in 0..<rows { all += core.decoder.logits(row: row).map(\.bitPattern) }
            return true
          }
          return all
        }
        core.startOver()
        // The last rows before the cut are a short step, which a recurrence keeps in its journal.
        _ = try logits(after: tokens[..<cut], chunk: 7)
        let saved = core.saveContext()
        #expect(saved.tokenCount == cut)
        let want = try logits(after: tokens[cut...], chunk: 40)
        for chunk in [1, 11] {
          core.startOver()
          _ = try logits(after: tokens[60...], chunk: 32)
          try core.restore(saved)
          #expect(core.context == Array(tokens[..<cut]))
          #expect(try logits(after: tokens[cut...], chunk: chunk) == want, "\(fixture) at \(cut)")
        }
      }
    }
  }

  /// Prompts that share the start of the last one, with states that can and cannot be cut back.
  @Test(arguments: OracleStore.families)
  func sharedStartsChangeNothing(fixture: String) throws {
    let (engine, tokens, directory) = try Self.engine(fixture)
    defer { withExtendedLifetime(directory) {} }
    let other = Array(tokens[..<70]) + tokens[20..<40]
    let want = try engine.logits(other).logits.suffix(engine.configuration.vocabularySize)
      .map(\.bitPattern)
    try engine.withCore { core throws(Failure) in
      for first in [Array(tokens), Array(tokens[..<70]), Array(tokens[..<75])] {
        core.startOver()
        try core.process(first, chunkLength: 25)
        let reused = core.reuse(for: other)
        #expect(reused <= 70)
        if first.count == 70 { #expect(reused == 70) }
        try core.process(Array(other[reused...]))
        let rows = (other.count - reused - 1) % core.plan.chunkLength
        #expect(core.decoder.logits(row: rows).map(\.bitPattern) == want)
      }
    }
  }

  @Test func statesOfOtherShapesAreRefused() throws {
    let (engine, tokens, directory) = try Self.engine("qwen3_next")
    let (other, _, otherDirectory) = try Self.engine("deepseek_v2")
    defer { withExtendedLifetime((directory, otherDirectory)) {} }
    let refused = try engine.withCore { core throws(Failure) in
      try core.process(Array(tokens[..<20]))
      let saved = core.saveContext()
      return saved
    }
    #expect(throws: Failure.self) {
      try other.withCore { core throws(Failure) in try core.restore(refused) }
    }
  }
}
