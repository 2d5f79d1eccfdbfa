import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// A saved context, put back, goes on as if nothing had happened.
@Suite struct StateTests {
  private static func tokens(_ fixture: String, count: Int) throws -> [Int32] {
    let text = try ExpectedTensors(Fixtures.path("oracle/\(fixture)/expected.safetensors"))
      .integers("long_input_ids")
    return (0..<count).map { text[($0 * 7 + $0 / 150) % text.count] }
  }

  private static func options(_ change: (inout EngineOptions) -> Void = { _ in }) -> EngineOptions {
    var options = EngineOptions(budgetBytes: 200 << 20, contextLength: 1024, threadCount: 2)
    change(&options)
    return options
  }

  private static func bits(_ engine: Engine, _ tokens: [Int32], from start: Int, chunk: Int)
    throws -> [UInt32]
  {
    try engine.withCore { core throws(Failure) in
      var bits: [UInt32] = []
      try core.process(Array(tokens[start...]), chunkLength: chunk) { _, rows throws(Failure) in
        bits += (0..<rows).flatMap { core.decoder.logits(row: $0).map(\.bitPattern) }
        return true
      }
      return bits
    }
  }

  @Test(arguments: OracleStore.families)
  func resumesExactly(fixture: String) throws {
    let directory = try TemporaryDirectory("state")
    let store = try OracleStore.pack(
      Fixtures.path("oracle/" + fixture), in: directory, options: PackingOptions())
    let tokens = try Self.tokens(fixture, count: 60)
    let engine = try Engine(store: store, options: Self.options())
    let (saved, later) = (directory.file("saved"), directory.file("later"))
    _ = try Self.bits(engine, Array(tokens[..<33]), from: 0, chunk: 9)
    #expect(try engine.saveState(to: saved) == 33)
    let want = try Self.bits(engine, tokens, from: 33, chunk: 4)
    try engine.saveState(to: later)

    // Something else in between, then back; and in another engine with other threads and slots.
    try engine.reset()
    _ = try Self.bits(engine, tokens.reversed(), from: 0, chunk: 60)
    #expect(try engine.restoreState(from: saved) == Array(tokens[..<33]))
    #expect(try Self.bits(engine, tokens, from: 33, chunk: 27) == want)
    let other = try Engine(
      store: store,
      options: Self.options {
        $0.threadCount = 1
        $0.slotCount = engine.configuration.experts.perToken
        $0.streamer.backend = .pread
      })
    try other.restoreState(from: saved)
    #expect(try Self.bits(other, tokens, from: 33, chunk: 1) == want)
    try other.restoreState(from: later)
    #expect(try other.restoreState(from: saved).count == 33)
    #expect(try Self.bits(other, tokens, from: 33, chunk: 5) == want)
  }

  /// Rings that went round several times: gpt-oss's window of 16 in a ring of 320 positions.
  @Test func ringsGoRound() throws {
    let directory = try TemporaryDirectory("ring")
    let store = try OracleStore.pack(
      Fixtures.path("oracle/gpt_oss"), in: directory, options: PackingOptions())
    let tokens = try Self.tokens("gpt_oss", count: 900)
    let engine = try Engine(store: store, options: Self.options())
    let rings = try engine.withCore { core in
      core.decoder.state.layers.filter { $0.kind.form.hasPrefix("ring") }.count
    }
    #expect(rings == 2)
    let want = try Self.bits(engine, tokens, from: 0, chunk: 900)
    for chunk in [1, 7, 64, 250, 300] {
      try engine.reset()
      #expect(try Self.bits(engine, tokens, from: 0, chunk: chunk) == want, "chunks of \(chunk)")
    }
    // No ring in a context of 320: the window alone decides what is seen.
    let short = try Engine(store: store, options: Self.options { $0.contextLength = 320 })
    let head = try Self.bits(short, Array(tokens[..<320]), from: 0, chunk: 50)
    #expect(head == Array(want[..<head.count]))

    // Cut back as far as the ring remembers, and saved after that.
    let vocabulary = want.count / 900
    let saved = directory.file("saved")
    for kept in [899, 880, 850, 700, 500, 10] {
      try engine.reset()
      _ = try Self.bits(engine, Array(tokens[..<890]) + Array(tokens[..<10]), from: 0, chunk: 128)
      let left = try engine.withCore { core in core.rewind(to: kept) }
      #expect(left == kept || left == 0)
      #expect((left == kept) == (kept >= 700), "cut back to \(kept) left \(left)")
      guard left > 0, left <= 890 else { continue }
      try engine.saveState(to: saved)
      #expect(
        try Self.bits(engine, tokens, from: left, chunk: 33) == Array(want[(left * vocabulary)...]))
      try engine.restoreState(from: saved)
      #expect(
        try Self.bits(engine, tokens, from: left, chunk: 200)
          == Array(want[(left * vocabulary)...]))
    }
  }

  /// A prompt that shares a prefix with a context too far back starts over, with the same text.
  @Test func promptsBehindARingStartOver() async throws {
    let directory = try TemporaryDirectory("behind")
    let store = try OracleStore.pack(
      Fixtures.path("oracle/gpt_oss"), in: directory, options: OracleStore.exact)
    let engine = try Engine(store: store, options: Self.options())
    let tokens = try Self.tokens("gpt_oss", count: 700)
    func run(_ prompt: [Int32]) async throws -> ([Int32], Int) {
      let generation = engine.generate(
        .tokens(prompt), options: GenerationOptions(maximumTokens: 5))
      var ids: [Int32] = []
      for try await token in generation { if let id = token.id { ids.append(id) } }
      return (ids, generation.summary?.reusedTokens ?? -1)
    }
    let short = Array(tokens[..<60])
    let (want, _) = try await run(short)
    _ = try await run(tokens)
    let (again, reused) = try await run(short)
    #expect(again == want && reused == 0)
    let (longer, kept) = try await run(short + want)
    #expect(kept == 60 + want.count - 1)
    _ = longer
  }

  @Test func damagedAndForeignStatesAreRefused() throws {
    let directory = try TemporaryDirectory("refused")
    let fixture = Fixtures.path("oracle/gpt_oss")
    let store = try OracleStore.pack(fixture, in: directory, options: PackingOptions())
    let engine = try Engine(store: store, options: Self.options())
    let tokens = try Self.tokens("gpt_oss", count: 40)
    _ = try Self.bits(engine, tokens, from: 0, chunk: 40)
    let path = directory.file("state")
    try engine.saveState(to: path)
    let whole = try FileSystem.readBytes(path)
    for change: (inout [UInt8]) -> Void in [
      { $0[0] ^= 1 }, { $0[9] = 0xFF }, { $0[$0.count - 1] ^= 4 }, { $0[$0.count / 2] ^= 1 },
      { $0.removeLast() }, { $0.append(0) }, { $0.removeAll() }, { $0.removeLast($0.count - 12) },
    ] {
      var bytes = whole
      change(&bytes)
      let damaged = try directory.write(bytes, to: "damaged")
      #expect(throws: Failure.self) { try engine.restoreState(from: damaged) }
      #expect(try engine.withCore { core in core.context.count } == 0)
    }
    try engine.restoreState(from: path)
    for change: (inout EngineOptions) -> Void in [
      { $0.keyValueType = .f32 }, { $0.contextLength = 320 }, { $0.activations = .f32 },
    ] {
      let other = try Engine(store: store, options: Self.options(change))
      #expect {
        try other.restoreState(from: path)
      } throws: { ($0 as? Failure)?.kind == .mismatch }
    }
    let exact = try OracleStore.pack(fixture, in: directory, options: OracleStore.exact)
    let other = try Engine(store: exact, options: Self.options { $0.keyValueType = .f16 })
    #expect(throws: Failure.self) { try other.restoreState(from: path) }
    #expect(throws: Failure.self) { try engine.restoreState(from: directory.file("absent")) }
  }
}
