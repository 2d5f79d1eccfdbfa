import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Prompts that share the start of the last one, with states that can and cannot be cut back.
@Suite struct SharedPrefixTests {
  @Test(arguments: OracleStore.families)
  func sharedStartsChangeNothing(fixture: String) throws {
    let directory = try TemporaryDirectory("shared")
    let checkpoint = Fixtures.path("oracle/" + fixture)
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let engine = try Engine(
      store: store,
      options: EngineOptions(budgetBytes: 200 << 20, contextLength: 256, threadCount: 2))
    let tokens = Array(
      try ExpectedTensors(checkpoint + "/expected.safetensors").integers("long_input_ids")
        .prefix(150))
    let other = Array(tokens[..<70]) + tokens[20..<40]
    let want = try engine.logits(other).logits.suffix(engine.configuration.vocabularySize)
      .map(\.bitPattern)
    try engine.withCore { core throws(Failure) in
      for first in [Array(tokens), Array(tokens[..<70]), Array(tokens[..<75])] {
        core.startOver()
        try core.process(first, chunkLength: 25)
        let reused = core.reuse(for: other)
        #expect(reused == 70 || reused == 0)
        // A recurrence keeps the rows of a short step apart: 75 tokens end in one of 25.
        if first.count == 70 { #expect(reused == 70) }
        try core.process(Array(other[reused...]))
        let row = (other.count - reused - 1) % core.plan.chunkLength
        #expect(core.decoder.logits(row: row).map(\.bitPattern) == want, "\(first.count)")
      }
    }
  }

  /// The rows of a short step can be taken back one by one, and no further.
  @Test(arguments: ["qwen3_next", "qwen3_5_moe"]) func recurrencesTakeBackAStep(fixture: String)
    throws
  {
    let directory = try TemporaryDirectory("back")
    let checkpoint = Fixtures.path("oracle/" + fixture)
    let store = try OracleStore.pack(checkpoint, in: directory, options: try OracleStore.exact)
    let engine = try Engine(
      store: store,
      options: EngineOptions(budgetBytes: 200 << 20, contextLength: 256, threadCount: 2))
    let tokens = try ExpectedTensors(checkpoint + "/expected.safetensors")
      .integers("long_input_ids")
    let vocabulary = engine.configuration.vocabularySize
    let want = try engine.logits(tokens, chunkLength: 1).logits.map(\.bitPattern)
    try engine.withCore { core throws(Failure) in
      for kept in 60...76 {
        core.startOver()
        try core.process(Array(tokens[..<60]), chunkLength: 30)
        try core.process(Array(tokens[60..<kept]) + Array(tokens[..<(76 - kept)]))
        #expect(core.rewind(to: kept) == kept)
        // Twice: what was taken back once can be taken back further.
        if kept > 66 { #expect(core.rewind(to: kept - 3) == kept - 3) }
        let left = core.context.count
        try core.process(Array(tokens[left..<90]), chunkLength: 9)
        let row = core.decoder.logits(row: (90 - left - 1) % 9).map(\.bitPattern)
        #expect(row == Array(want[89 * vocabulary..<90 * vocabulary]), "kept \(kept)")
      }
      core.startOver()
      try core.process(Array(tokens[..<60]))
      #expect(core.rewind(to: 59) == 0 && core.context.isEmpty)
    }
  }
}
