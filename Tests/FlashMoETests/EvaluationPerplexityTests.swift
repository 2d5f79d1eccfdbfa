import FlashMoE
import Glibc
import Support
import TestSupport
import Testing
import WeightStore

/// Likelihoods and divergences against plain sums over `Engine.logits`.
@Suite struct EvaluationPerplexityTests {
  private let directory: TemporaryDirectory
  private let tokens: [Int32]

  init() throws {
    directory = try TemporaryDirectory("perplexity")
    var random = SeededRandom(seed: 7)
    tokens = (0..<83).map { _ in Int32.random(in: 0..<384, using: &random) }
  }

  private func engine(_ scheme: String, activations: ActivationType = .int8) throws -> Engine {
    let store = try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory,
      options: PackingOptions(
        experts: try SchemeChoice(parsing: scheme), residents: try SchemeChoice(parsing: scheme)))
    return try Engine(
      store: store,
      options: EngineOptions(
        budgetBytes: 200 << 20, contextLength: 64, chunkLength: 16, threadCount: 2,
        activations: activations))
  }

  /// log-softmax as the definition says, one logit at a time.
  private func logProbabilities(_ engine: Engine, _ tokens: [Int32]) throws -> [[Double]] {
    let result = try engine.logits(tokens)
    return (0..<tokens.count).map { row in
      let logits = (0..<result.vocabularySize).map {
        Double(result.logits[row * result.vocabularySize + $0])
      }
      let sum = logits.reduce(0) { $0 + exp($1) }
      return logits.map { $0 - log(sum) }
    }
  }

  private func isClose(_ left: Double, _ right: Double, _ tolerance: Double = 1e-9) -> Bool {
    abs(left - right) <= tolerance * max(1, abs(right))
  }

  @Test(arguments: [nil, 10, 31]) func lossIsThePlainSum(stride: Int?) throws {
    let engine = try engine("none")
    let windows = try TextWindows(length: 32, stride: stride)
    let texts = [tokens, Array(tokens[5..<6]), Array(tokens[9..<30])]
    let evaluation = try LikelihoodEvaluation([.init(engine: engine)], windows: windows)
    var seen = 0
    let result = try evaluation.run(
      texts,
      progress: { progress in
        #expect(progress.tokens > seen && progress.tokens <= progress.totalTokens)
        seen = progress.tokens
      })[0]

    // Independently: every token of a text once, by the window that reaches it first.
    let step = stride ?? 32
    var losses: [Double] = []
    for text in texts {
      var scored = 1
      var start = 0
      while scored < text.count {
        let window = Array(text[start..<min(start + 32, text.count)])
        let rows = try logProbabilities(engine, window)
        for position in 1..<window.count where start + position >= scored {
          losses.append(-rows[position - 1][Int(window[position])])
        }
        scored = start + window.count
        start += step
      }
    }
    let mean = losses.reduce(0, +) / Double(losses.count)
    let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(losses.count - 1)
    #expect(result.loss.count == losses.count)
    #expect(isClose(result.loss.mean, mean))
    #expect(isClose(result.loss.standardError, (variance / Double(losses.count)).squareRoot()))
    #expect(isClose(result.perplexity, exp(mean)))
  }

  @Test func divergenceIsThePlainSum() throws {
    let reference = try engine("none")
    let subject = try engine("q4")
    let evaluation = try LikelihoodEvaluation(
      [.init(engine: reference), .init(engine: subject, references: [0])],
      windows: try TextWindows(length: 64))
    let text = Array(tokens[..<50])
    let result = try evaluation.run([text])[1]
    let (p, q) = (try logProbabilities(reference, text), try logProbabilities(subject, text))
    var divergences: [Double] = []
    var agreements = 0
    for row in 0..<text.count - 1 {
      divergences.append(zip(p[row], q[row]).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) })
      if p[row].firstIndex(of: p[row].max() ?? 0) == q[row].firstIndex(of: q[row].max() ?? 0) {
        agreements += 1
      }
    }
    let found = result.divergences[0]
    #expect(found.divergence.count == 49)
    #expect(isClose(found.divergence.mean, divergences.reduce(0, +) / 49, 1e-7))
    #expect(isClose(found.divergence.maximum, divergences.max() ?? 0, 1e-7))
    #expect(found.agreements == agreements)
    // 4 bits cost something, or the comparison compared a store with itself.
    #expect(found.divergence.mean > 1e-5)
    var excess = 0.0
    for row in 0..<49 {
      let token = Int(text[row + 1])
      excess += p[row][token] - q[row][token]
    }
    #expect(isClose(found.excess.mean, excess / 49, 1e-7))
  }

  @Test func aStoreIsNotFarFromItself() throws {
    let (one, other) = (try engine("q4"), try engine("q4"))
    let result = try LikelihoodEvaluation(
      [.init(engine: one), .init(engine: other, references: [0])],
      windows: try TextWindows(length: 40, stride: 20)
    ).run([tokens])[1]
    #expect(result.divergences[0].divergence.maximum == 0)
    #expect(result.divergences[0].divergence.mean == 0)
    #expect(result.divergences[0].topAgreement == 1)
    #expect(result.divergences[0].excess.mean == 0)
  }

  @Test func activationsShowAlone() throws {
    let exact = try engine("q8", activations: .f32)
    let rounded = try engine("q8", activations: .int8)
    let results = try LikelihoodEvaluation(
      [.init(engine: exact), .init(engine: rounded, references: [0])],
      windows: try TextWindows(length: 64)
    ).run([tokens])
    #expect(results[1].divergences[0].divergence.mean > 0)
    let report = LikelihoodReport(
      rows: [
        .init(engine: exact, result: results[0], isReference: true),
        .init(engine: rounded, result: results[1], isReference: false),
      ], windows: try TextWindows(length: 64), texts: ["dir/text.txt"])
    let lines = report.markdown.split(separator: "\n")
    #expect(lines[2].contains("(reference)") && lines[2].contains("f32"))
    #expect(lines[3].contains("int8"))
    #expect(Set(lines[..<4].map { $0.count { $0 == "|" } }).count == 1)
    let json = try JSONValue.parse(
      Array(JSONValue.object(report.json).serialized().utf8), subject: "report")
    let rows = try #require(json["rows"]?.array)
    #expect(rows.count == 2)
    #expect(rows[0]["reference"] == .null)
    #expect(rows[1]["reference"]?["kl"]?.double == results[1].divergences[0].divergence.mean)
    #expect(rows[1]["nll"]?.double == results[1].loss.mean)
  }

  @Test func windowsCoverEveryTokenOnce() throws {
    for (length, stride, count) in [
      (2, 1, 9), (8, 8, 64), (8, 8, 65), (8, 8, 63), (8, 3, 40), (8, 5, 1), (8, 5, 0), (5, 5, 2),
    ] {
      let windows = try TextWindows(length: length, stride: stride).windows(over: count)
      var scored: [Int] = []
      for window in windows {
        #expect(window.count <= length && window.firstScored >= 1 && window.scoredCount > 0)
        scored += (window.firstScored..<window.count).map { window.start + $0 }
      }
      // Without overlap the first token of every window is predicted by nothing.
      let expected = (0..<count).filter { stride < length ? $0 > 0 : $0 % length != 0 }
      #expect(scored == expected)
    }
    #expect(throws: Failure.self) { try TextWindows(length: 1) }
    #expect(throws: Failure.self) { try TextWindows(length: 8, stride: 9) }
    #expect(throws: Failure.self) { try TextWindows(length: 8, stride: 0) }
  }

  @Test func refusesWhatCannotBeCompared() throws {
    let engine = try engine("none")
    #expect(throws: Failure.self) {
      try LikelihoodEvaluation([.init(engine: engine)], windows: try TextWindows(length: 65))
    }
    let evaluation = try LikelihoodEvaluation(
      [.init(engine: engine)], windows: try TextWindows(length: 16))
    #expect(throws: Failure.self) { try evaluation.run([[3]]) }
    #expect(throws: Failure.self) { try evaluation.run([[3, 384]]) }
    #expect(throws: Failure.self) { try evaluation.run([[3, -1]]) }
    #expect { try evaluation.run([tokens], isCancelled: { true }) } throws: {
      ($0 as? Failure)?.kind == .cancelled
    }
  }

  @Test func demoModelHasTheExpectedLoss() throws {
    guard let path = Fixtures.shared("demo-model") else { return }
    let store = try OracleStore.pack(path, in: directory, options: try OracleStore.exact)
    let engine = try Engine(
      store: store, options: EngineOptions(budgetBytes: 400 << 20, contextLength: 512))
    let expected = try FileSystem.readJSON(path + "/expected.json")
    let text = try ExpectedTensors(path + "/expected.safetensors").integers("input_ids")
    let result = try LikelihoodEvaluation(
      [.init(engine: engine)], windows: try TextWindows(length: 512)
    ).run([text])[0]
    #expect(result.loss.count == 511)
    #expect(abs(result.loss.mean - (expected["nll_512"]?.double ?? 0)) < 1e-5)
  }
}
