import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Benchmarks of a tiny model: what rows count must be true whatever the machine's speed.
@Suite struct EvaluationBenchTests {
  private let directory: TemporaryDirectory
  private let store: Store

  init() throws {
    directory = try TemporaryDirectory("bench")
    store = try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions())
  }

  private func engine(slots: Int? = nil, prefetch: Bool = false) throws -> Engine {
    try Engine(
      store: store,
      options: EngineOptions(
        budgetBytes: 200 << 20, contextLength: 64, slotCount: slots, threadCount: 2,
        streamer: StreamerOptions(prefetch: prefetch)))
  }

  @Test func rowsCountWhatHappened() throws {
    let engine = try engine()
    let options = BenchOptions(
      promptLengths: [16, 33], generationLengths: [9], repetitions: 2)
    let disk = try DiskProbe.measure(path: store.path, seconds: 0.02)
    let text = BenchText(randomBelow: engine.configuration.vocabularySize, seed: 3)
    var steps: [String] = []
    let report = try Benchmark(engine: engine, options: options, text: text, disk: disk).run(
      progress: { progress in
        steps.append("\(progress.test.name) \(progress.cache.rawValue) \(progress.repetition)")
      })
    #expect(
      steps
        == ["pp16", "pp33", "tg9"].flatMap { test in
          ["cold 1", "cold 2", "warm 0", "warm 1", "warm 2"].map { "\(test) \($0)" }
        })
    #expect(report.rows.map(\.test.name) == ["pp16", "pp16", "pp33", "pp33", "tg9", "tg9"])
    #expect(report.rows.map(\.cache) == [.cold, .warm, .cold, .warm, .cold, .warm])
    let perToken = engine.configuration.experts.perToken
    let stride = store.manifest.layers[0].record.stride
    for row in report.rows {
      #expect(row.samples.count == 2)
      #expect(row.samples.allSatisfy { $0.tokens == row.test.tokens && $0.seconds > 0 })
      #expect(row.rate.mean > 0 && row.rate.deviation >= 0)
      #expect(row.tokenKind == "random" && !row.repeatsText)
      let hitRate = try #require(row.hitRate)
      #expect((0...1).contains(hitRate))
      #expect(row.readBytes == (row.lookups - row.hits) * stride)
      let phases = row.phases
      #expect(phases.total > 0)
      #expect(phases.named.reduce(0) { $0 + $1.nanoseconds } >= phases.total)
      #expect(row.peakBytes > 0)
      if row.test.kind == .decode {
        #expect(row.lookups == 2 * 9 * perToken * store.manifest.layers.count)
      }
    }
    let (cold, warm) = (report.rows[4], report.rows[5])
    // Everything fits: what is warm was all read by the runs before, cold rows read it themselves.
    #expect(cold.readBytes > 0)
    #expect(warm.readBytes < cold.readBytes)
    #expect((report.disk?.bytesPerSecond ?? 0) > 0)
    #expect(report.disk?.note != nil)
  }

  @Test func draftsAreCountedWhereTheyAreAskedFor() throws {
    let engine = try engine()
    let text = try BenchText(tokens: (0..<60).map { $0 % 6 }, name: "six tokens")
    var options = BenchOptions(
      promptLengths: [], generationLengths: [48], repetitions: 2, caches: [.warm])
    let plain = try Benchmark(engine: engine, options: options, text: text).run()
    #expect(plain.rows[0].speculation.steps == 96 && plain.rows[0].speculation.proposedTokens == 0)
    #expect(!plain.markdown().contains("speculation"))
    options.speculation = .lookup
    let report = try Benchmark(engine: engine, options: options, text: text).run()
    let drafts = report.rows[0].speculation
    #expect(drafts.steps + drafts.acceptedTokens == 96)
    // A loop of six: all but its first round and a little is drafted right.
    #expect(drafts.acceptedTokens > 60)
    #expect(report.markdown().contains("drafted tokens accepted"))
    let row = report.json["rows"]?.array?.first
    #expect(row?["accepted_tokens"]?.integer == drafts.acceptedTokens)
    #expect(report.csv.contains("lookup"))
  }

  @Test func coldReadsTheSameEveryTime() throws {
    let engine = try engine()
    let tokens = BenchText(randomBelow: 384, seed: 1).passage(0, count: 12)
    try engine.emptyExpertCache()
    let first = try engine.feed(tokens, oneByOne: true)
    let warm = try engine.feed(tokens, oneByOne: true)
    try engine.emptyExpertCache()
    try store.dropPageCache()
    let again = try engine.feed(tokens, oneByOne: true)
    #expect(first.streaming.demandBytes > 0)
    #expect(warm.streaming.demandBytes == 0 && warm.streaming.hitRate == 1)
    #expect(again.streaming.demandBytes == first.streaming.demandBytes)
    #expect(again.streaming.misses == first.streaming.misses)
  }

  @Test func emptyingChangesNoResult() throws {
    let engine = try engine(slots: 5, prefetch: true)
    let tokens = BenchText(randomBelow: 384, seed: 2).passage(0, count: 20)
    let before = try engine.logits(tokens).logits
    try engine.emptyExpertCache()
    #expect(try engine.logits(tokens).logits == before)
    // Feeding leaves a context behind that the next call must not see.
    _ = try engine.feed(tokens, oneByOne: true)
    #expect(try engine.logits(tokens).logits == before)
  }

  @Test func feedStopsAndRefuses() throws {
    let engine = try engine()
    #expect { try engine.feed([1, 2], oneByOne: true, isCancelled: { true }) } throws: {
      ($0 as? Failure)?.kind == .cancelled
    }
    #expect(throws: Failure.self) { try engine.feed([], oneByOne: true) }
    #expect(throws: Failure.self) { try engine.feed([1, 384], oneByOne: false) }
    #expect(throws: Failure.self) {
      try engine.feed(Array(repeating: 1, count: 65), oneByOne: false)
    }
    #expect(try engine.feed([1, 2, 3], oneByOne: false).tokens == 3)
  }

  @Test func passagesAreDistinctAndRepeatable() throws {
    let random = BenchText(randomBelow: 50, seed: 9)
    #expect(
      random.passage(0, count: 40) == BenchText(randomBelow: 50, seed: 9).passage(0, count: 40))
    #expect(random.passage(0, count: 40) != random.passage(1, count: 40))
    #expect(random.passage(3, count: 200).allSatisfy { (0..<50).contains($0) })
    let text = try BenchText(tokens: [5, 6, 7, 8, 9], name: "five")
    #expect(text.passage(0, count: 2) == [5, 6])
    #expect(text.passage(1, count: 2) == [7, 8])
    #expect(text.passage(2, count: 2) == [9, 5])
    #expect(!text.repeats(passages: 2, count: 2) && text.repeats(passages: 3, count: 2))
    #expect(throws: Failure.self) { try BenchText(tokens: [], name: "none") }
  }

  @Test func formatsAreWhole() throws {
    let engine = try engine()
    let tokens = try engine.encode(.text(BenchText.sample, parsesSpecialTokens: false))
    let text = try BenchText(tokens: tokens, name: "a, \"quoted\" name")
    let report = try Benchmark(
      engine: engine,
      options: BenchOptions(
        promptLengths: [8], generationLengths: [4, 0], repetitions: 3, caches: [.warm]),
      text: text
    ).run()
    #expect(report.rows.map(\.tokenKind) == ["text", "text"])

    let json = try JSONValue.parse(
      Array(JSONValue.object(report.json).serialized(pretty: true).utf8), subject: "report")
    let rows = try #require(json["rows"]?.array)
    #expect(rows.map { $0["test"]?.string } == ["pp8", "tg4"])
    for (row, measured) in zip(rows, report.rows) {
      #expect(row["tokens_per_second"]?.double == measured.rate.mean)
      #expect(row["samples"]?.array?.count == 3)
      let names = ["attention", "router", "io_wait", "experts", "head", "other"]
      let phases = names.compactMap { row[$0 + "_seconds"]?.double }
      #expect(phases.count == 6)
      let total = try #require(row["total_seconds"]?.double)
      #expect(abs(phases.reduce(0, +) - total) < 1e-6)
    }
    #expect(json["disk"] == .null)
    #expect((json["parameters"]?.integer ?? 0) > 0)

    let csv = report.csv.split(separator: "\n").map { Self.fields(String($0)) }
    #expect(csv.count == 3)
    #expect(Set(csv.map(\.count)) == [csv[0].count])
    let tokensColumn = try #require(csv[0].firstIndex(of: "tokens"))
    #expect(csv[1][tokensColumn].hasPrefix("a, \"quoted\" name"))
    let testColumn = try #require(csv[0].firstIndex(of: "test"))
    #expect(csv[1...].map { $0[testColumn] } == ["pp8", "tg4"])

    for phases in [false, true] {
      let tables = report.markdown(phases: phases).split(
        separator: "\n\n", omittingEmptySubsequences: false)
      #expect(tables.count == (phases ? 3 : 2))
      for table in tables.dropLast() {
        let lines = table.split(separator: "\n")
        #expect(lines.count == 4)
        // Every line has the same columns at the same places.
        #expect(Set(lines.map(\.count)).count == 1)
        #expect(Set(lines.map { line in line.count { $0 == "|" } }).count == 1)
      }
    }
  }

  /// Fields of one CSV line (RFC 4180).
  private static func fields(_ line: String) -> [String] {
    var fields = [""]
    var isQuoted = false
    for character in line {
      if character == "\"" {
        if !isQuoted, fields[fields.count - 1].isEmpty == false { fields[fields.count - 1] += "\"" }
        isQuoted.toggle()
      } else if character == ",", !isQuoted {
        fields.append("")
      } else {
        fields[fields.count - 1].append(character)
      }
    }
    return fields
  }

  @Test func refusesNothingToDo() throws {
    let engine = try engine()
    let text = BenchText(randomBelow: 384, seed: 0)
    for options in [
      BenchOptions(promptLengths: [0], generationLengths: []),
      BenchOptions(promptLengths: [65]), BenchOptions(promptLengths: [-1]),
      BenchOptions(promptLengths: [8], generationLengths: [8], repetitions: 0),
    ] {
      #expect(throws: Failure.self) {
        try Benchmark(engine: engine, options: options, text: text)
      }
    }
  }
}
