import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Speculation never changes a token: whatever is drafted, the run is that of plain decoding.
@Suite struct SpeculationExactnessTests {
  /// All that a generation leaves behind.
  struct Outcome: Equatable {
    var tokens: [Int32]
    var text: String
    var reason: FinishReason
    /// What the engine's context holds afterwards.
    var context: [Int32]
    var decoded: Int
  }

  static let story =
    "Once upon a time there was a king who had three sons. The eldest said, I will go. The second "
    + "said, I will go. The youngest said, I will go. Once upon a time there was a king who had"

  private func engine(threads: Int = 2, slots: Int? = nil, context: Int = 256) throws -> Engine {
    try Engine(
      store: try Store(opening: Fixtures.packageRoot + "/Models/demo.fmoe"),
      options: EngineOptions(
        budgetBytes: 64 << 20, contextLength: context, slotCount: slots, threadCount: threads))
  }

  /// - Parameter drafts: what to draft after each history, in the index's place.
  private func run(
    _ engine: Engine, _ options: GenerationOptions,
    _ mode: Speculation, drafts: (@Sendable ([Int32], Int) -> [Int32])? = nil
  ) async throws -> (outcome: Outcome, drafts: SpeculationStatistics) {
    try engine.reset()
    try engine.withCore { core throws(Failure) in core.draftSource = drafts }
    var options = options
    options.speculation = mode
    let generation = engine.generate(.text(Self.story), options: options)
    var text = ""
    for try await token in generation { text += token.text }
    let context = try engine.withCore { core throws(Failure) -> [Int32] in
      core.draftSource = nil
      #expect(core.decoder.position == core.context.count)
      return core.context
    }
    let summary = try #require(generation.summary)
    let outcome = Outcome(
      tokens: summary.tokens, text: text, reason: summary.finishReason, context: context,
      decoded: summary.decode.tokens)
    return (outcome, summary.decode.speculation)
  }

  private func sampling(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var sampling = SamplingOptions()
    sampling.seed = 7
    change(&sampling)
    return sampling
  }

  /// Greedy, sampled, and with penalties, which look at the history.
  private var samplings: [SamplingOptions] {
    [
      .greedy,
      sampling {
        $0.temperature = 0.7
        $0.topP = 0.9
      },
      sampling {
        $0.temperature = 0.3
        $0.repetitionPenalty = 1.1
        $0.frequencyPenalty = 0.05
      },
    ]
  }

  /// Drafts are the index's own.
  ///
  /// How many are accepted depends on the model's text, so no count is asked of a single case: all
  /// cases together must have accepted some and rejected some, or nothing was tested.
  @Test(arguments: [1, 2])
  func tokensAreThoseOfPlainDecoding(threads: Int) async throws {
    var all = SpeculationStatistics()
    for slots in [13, nil] {
      let engine = try engine(threads: threads, slots: slots)
      for sampling in samplings {
        let options = GenerationOptions(
          maximumTokens: 90, sampling: sampling, ignoresEndTokens: true)
        let plain = try await run(engine, options, .off)
        #expect(plain.drafts.proposedTokens == 0 && plain.drafts.steps == plain.outcome.decoded)
        for mode in [Speculation.lookup, .auto] {
          let (outcome, drafts) = try await run(engine, options, mode)
          #expect(outcome == plain.outcome, "\(mode), \(slots ?? -1) slots, \(sampling)")
          #expect(drafts.steps + drafts.acceptedTokens == outcome.decoded)
          if mode == .lookup { all.add(drafts) }
        }
      }
    }
    #expect(all.acceptedTokens > 0)
    #expect(all.acceptedTokens < all.proposedTokens)
  }

  /// Drafts that are right for a random while and then wrong, of every length: rejections at every
  /// depth, and steps of every number of rows.
  @Test(arguments: [1, 2])
  func everyDepthOfRejectionIsExact(threads: Int) async throws {
    let engine = try engine(threads: threads, slots: 17)
    for (number, sampling) in samplings.enumerated() {
      let options = GenerationOptions(
        maximumTokens: 100, sampling: sampling, ignoresEndTokens: true)
      let plain = try await run(engine, options, .off)
      let all = try engine.encode(.text(Self.story)) + plain.outcome.tokens
      for seed in 0..<3 {
        let (outcome, drafts) = try await run(engine, options, .lookup) { history, limit in
          var random = SeededRandom(seed: UInt64(1000 * number + 100 * seed + history.count))
          let length = random.below(limit + 1)
          let right = random.below(length + 1)
          let truth = all.dropFirst(history.count).prefix(length)
          return truth.enumerated().map { $0 < right ? $1 : ($1 + 1) % 1000 }
        }
        #expect(outcome == plain.outcome, "\(sampling), \(seed)")
        // Of 100 tokens a third or so comes from drafts that are right half of their length.
        #expect(drafts.acceptedTokens > 20 && drafts.acceptedTokens < drafts.proposedTokens)
      }
    }
  }

  /// The end of a run in the middle of drafts that are all right: token limit, end token, stop
  /// string and context, at every place.
  @Test func endsInTheMiddleOfADraftAreExact() async throws {
    let engine = try engine(context: 128)
    let sampling = samplings[1]
    let whole = try await run(
      engine, GenerationOptions(maximumTokens: 40, sampling: sampling, ignoresEndTokens: true), .off
    )
    let prompt = try engine.encode(.text(Self.story))
    let all = prompt + whole.outcome.tokens
    let oracle: @Sendable ([Int32], Int) -> [Int32] = { history, limit in
      // Wrong tokens behind the right ones: what lies beyond an end must not matter.
      Array((all + Array(repeating: 5, count: 20)).dropFirst(history.count).prefix(limit))
    }
    var accepted = 0
    func check(_ options: GenerationOptions, _ what: String) async throws {
      let plain = try await run(engine, options, .off)
      let (outcome, drafts) = try await run(engine, options, .lookup, drafts: oracle)
      #expect(outcome == plain.outcome, "\(what)")
      accepted += drafts.acceptedTokens
    }
    for limit in 0...20 {
      try await check(
        GenerationOptions(maximumTokens: limit, sampling: sampling, ignoresEndTokens: true),
        "limit of \(limit)")
    }
    for at in stride(from: 0, to: 36, by: 3) {
      try await check(
        GenerationOptions(
          maximumTokens: 40, sampling: sampling, stopTokens: [whole.outcome.tokens[at]]),
        "end token \(at)")
    }
    for length in [1, 3, 6] {
      let start = whole.outcome.text.index(whole.outcome.text.startIndex, offsetBy: 40)
      let stop = String(whole.outcome.text[start...].prefix(length))
      try await check(
        GenerationOptions(
          maximumTokens: 40, sampling: sampling, stopStrings: [stop], stopTokens: []),
        "stop string '\(stop)'")
    }
    #expect(accepted > 200)
  }

  @Test func fullContextsEndAlike() async throws {
    let promptCount = try engine().encode(.text(Self.story)).count
    for room in 0...9 {
      let engine = try engine(context: promptCount + room)
      let options = GenerationOptions(maximumTokens: nil, ignoresEndTokens: true)
      let plain = try await run(engine, options, .off)
      #expect(plain.outcome.reason == .context && plain.outcome.tokens.count == room + 1)
      let all = try engine.encode(.text(Self.story)) + plain.outcome.tokens
      let (outcome, _) = try await run(engine, options, .lookup) { history, limit in
        Array((all + Array(repeating: 5, count: 20)).dropFirst(history.count).prefix(limit))
      }
      #expect(outcome == plain.outcome, "\(room) positions left")
      let (looked, _) = try await run(engine, options, .lookup)
      #expect(looked == plain.outcome)
    }
  }

  /// Each seed gives the plain run's very tokens, so the distribution over seeds is the model's.
  @Test func everySeedDrawsTheSame() async throws {
    let engine = try engine()
    var texts: Set<[Int32]> = []
    var accepted = 0
    for seed in 0..<24 {
      let sampling = sampling {
        $0.temperature = 1
        $0.seed = UInt64(seed)
      }
      let options = GenerationOptions(maximumTokens: 24, sampling: sampling, ignoresEndTokens: true)
      let plain = try await run(engine, options, .off)
      let all = try engine.encode(.text(Self.story)) + plain.outcome.tokens
      let (outcome, drafts) = try await run(engine, options, .lookup) { history, limit in
        // Every third draft ends wrong.
        var draft = Array(all.dropFirst(history.count).prefix(min(limit, 5)))
        if history.count % 3 == 0, let last = draft.popLast() { draft.append(last ^ 1) }
        return draft
      }
      #expect(outcome == plain.outcome, "seed \(seed)")
      texts.insert(outcome.tokens)
      accepted += drafts.acceptedTokens
    }
    #expect(texts.count == 24)
    #expect(accepted > 24 * 8)
  }

  /// Logits row by row, not only the tokens they lead to: random drafts over a given text.
  ///
  /// Compressed caches and recurrent states are taken back like keys and values.
  @Test(
    arguments: [
      ("qwen3_moe", "none"), ("qwen3_moe", "q4"), ("qwen3_moe", "q4a"), ("qwen3_moe", "q8"),
      ("deepseek_v2", "none"), ("deepseek_v3", "q8"), ("qwen3_next", "none"),
      ("qwen3_next", "q4"), ("qwen3_5_moe_vl", "q8"),
    ])
  func logitsAreBitIdentical(fixture: String, scheme: String) throws {
    let directory = try TemporaryDirectory("speculation")
    let choice = try SchemeChoice(parsing: scheme)
    let checkpoint = Fixtures.path("oracle/" + fixture)
    let store = try OracleStore.pack(
      checkpoint, in: directory, options: PackingOptions(experts: choice, residents: choice))
    let tokens = try ExpectedTensors(checkpoint + "/expected.safetensors").integers("input_ids")
    for (threads, slots) in [(1, 5), (2, 9), (2, nil)] as [(Int, Int?)] {
      let engine = try Engine(
        store: store,
        options: EngineOptions(
          budgetBytes: 200 << 20, contextLength: 128, slotCount: slots, threadCount: threads))
      let want = try engine.logits(tokens, chunkLength: 1).logits.map(\.bitPattern)
      for seed in 0..<3 {
        let (got, sizes) = try engine.withCore { core throws(Failure) in
          core.startOver()
          var random = SeededRandom(seed: UInt64(seed))
          core.draftSource = { history, limit in
            let length = random.below(limit + 1)
            let wrong = random.below(length + 3)
            return tokens.dropFirst(history.count).prefix(length).enumerated().map {
              $0 == wrong ? $1 ^ 1 : $1
            }
          }
          defer { core.draftSource = nil }
          var steps = DraftedSteps(core, after: [], row: 0, mode: .lookup, draftLimit: 15)
          var logits: [UInt32] = []
          for (at, token) in tokens.enumerated() {
            let row = try steps.advance(token, following: tokens.count - at - 1)
            logits += core.decoder.logits(row: row).map(\.bitPattern)
          }
          steps.finish()
          #expect(core.context == tokens)
          return (logits, steps.statistics)
        }
        #expect(
          got == want,
          "\(fixture) \(scheme), \(threads) threads, \(slots ?? -1) slots, seed \(seed)")
        #expect(sizes.acceptedTokens > 0 && sizes.acceptedTokens < sizes.proposedTokens)
      }
    }
  }

  /// A failing step leaves the tokens before it, and the engine usable.
  @Test func failuresLeaveTheEngineUsable() async throws {
    let engine = try engine()
    let options = GenerationOptions(maximumTokens: 30, ignoresEndTokens: true)
    let plain = try await run(engine, options, .off)
    let promptCount = try engine.encode(.text(Self.story)).count
    await #expect(throws: Failure.self) {
      // No such token: the forward pass refuses the whole step.
      _ = try await run(engine, options, .lookup) { history, _ in
        history.count < promptCount + 10 ? [] : [-1]
      }
    }
    let context = try engine.withCore { core throws(Failure) in
      core.draftSource = nil
      return core.context
    }
    #expect(plain.outcome.context.starts(with: context) && context.count > promptCount)
    #expect(try await run(engine, options, .lookup).outcome == plain.outcome)
    await #expect(throws: Failure.self) {
      _ = try await run(
        engine, GenerationOptions(maximumTokens: 3, draftLimit: 16), .lookup)
    }
  }

  /// A step needs a tile row for each expert of each of its tokens, here 4: small chunks leave room
  /// for few rows, or for none but the token itself.
  @Test(arguments: [1, 5, 8, 20]) func smallChunksBoundTheDraft(chunk: Int) async throws {
    let engine = try Engine(
      store: try Store(opening: Fixtures.packageRoot + "/Models/demo.fmoe"),
      options: EngineOptions(
        budgetBytes: 64 << 20, contextLength: 256, chunkLength: chunk, threadCount: 2))
    let options = GenerationOptions(maximumTokens: 30, ignoresEndTokens: true)
    let plain = try await run(engine, options, .off)
    let all = try engine.encode(.text(Self.story)) + plain.outcome.tokens
    let (outcome, drafts) = try await run(engine, options, .lookup) { history, limit in
      #expect(limit < chunk / 4)
      return Array(all.dropFirst(history.count).prefix(limit))
    }
    #expect(outcome == plain.outcome)
    #expect((drafts.acceptedTokens > 0) == (chunk >= 8))
  }

  @Test func givenTextsAreDraftedFromThemselves() throws {
    let engine = try engine()
    let passage = try engine.encode(.text(Self.story))
    let text = passage + passage
    let plain = try engine.feed(text, oneByOne: true)
    #expect(plain.speculation.steps == text.count && plain.speculation.proposedTokens == 0)
    let drafted = try engine.feed(text, oneByOne: true, speculation: .lookup)
    #expect(drafted.tokens == text.count)
    // All of the second copy but its first tokens and the plain steps between drafts.
    #expect(drafted.speculation.acceptedTokens > passage.count / 2)
    #expect(drafted.speculation.steps + drafted.speculation.acceptedTokens == text.count)
    let few = try engine.feed(text, oneByOne: true, speculation: .lookup, draftLimit: 1)
    #expect(few.speculation.proposedTokens == few.speculation.draftedSteps)
    let none = try engine.feed(text, oneByOne: true, speculation: .lookup, draftLimit: 0)
    #expect(none.speculation.proposedTokens == 0)
  }
}
