import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Logits, routing and greedy text against `transformers` in float32.
@Suite struct OracleTests {
  static let tolerance: Float = 1e-3

  private func largestDifference(_ left: [Float], _ right: [Float]) -> Float {
    #expect(left.count == right.count)
    return zip(left, right).reduce(0) { max($0, abs($1.0 - $1.1)) }
  }

  @Test(arguments: OracleStore.fixtures, [false, true])
  func agreesWithTransformers(fixture: String, laterSpelling: Bool) async throws {
    let checkpoint = Fixtures.path("oracle/" + fixture)
    if laterSpelling, !FileSystem.exists(checkpoint + "/config.v5.json") { return }
    let expected = try ExpectedTensors(checkpoint + "/expected.safetensors")
    let directory = try TemporaryDirectory("oracle")
    let store = try OracleStore.pack(
      checkpoint, in: directory, options: try OracleStore.exact, laterSpelling: laterSpelling)
    let engine = try Engine(
      store: store, options: EngineOptions(budgetBytes: 200 << 20, contextLength: 512))

    try checkLogits(engine, expected)
    try await checkGreedy(engine, expected)
    if FileSystem.exists(checkpoint + "/text.json") {
      try await checkText(engine, try FileSystem.readJSON(checkpoint + "/text.json"))
    }
  }

  private func checkLogits(_ engine: Engine, _ expected: ExpectedTensors) throws {
    let prompt = try expected.integers("input_ids")
    let greedy = try expected.integers("greedy_ids")
    let result = try engine.logits(prompt + greedy.dropLast(), wantsRouting: true)
    let vocabulary = result.vocabularySize
    let promptLogits = Array(result.logits[..<(prompt.count * vocabulary)])
    #expect(
      largestDifference(promptLogits, try expected.floats("logits")) < Self.tolerance)
    if expected.names.contains("greedy_logits") {
      let rows = Array(result.logits[((prompt.count - 1) * vocabulary)...])
      #expect(largestDifference(rows, try expected.floats("greedy_logits")) < Self.tolerance)
    }
    for routing in result.routing {
      let name = "router.\(routing.layer)"
      guard expected.names.contains(name + ".indices") else { continue }
      let indices = try expected.integers(name + ".indices")
      let weights = try expected.floats(name + ".weights")
      let k = result.expertsPerToken
      for token in 0..<indices.count / k {
        let range = token * k..<(token + 1) * k
        let want = Dictionary(uniqueKeysWithValues: zip(indices[range], weights[range]))
        let got = Dictionary(
          uniqueKeysWithValues: zip(routing.indices[range], routing.weights[range]))
        #expect(Set(got.keys) == Set(want.keys))
        for (expert, weight) in want { #expect(abs((got[expert] ?? -1) - weight) < 1e-4) }
      }
    }
    if expected.names.contains("long_logits") {
      let long = try engine.logits(try expected.integers("long_input_ids"))
      let rows = expected.shape("long_logits")[0]
      #expect(
        largestDifference(
          Array(long.logits.suffix(rows * vocabulary)), try expected.floats("long_logits"))
          < Self.tolerance)
    }
  }

  private func checkGreedy(_ engine: Engine, _ expected: ExpectedTensors) async throws {
    let greedy = try expected.integers("greedy_ids")
    let generation = engine.generate(
      .tokens(try expected.integers("input_ids")),
      options: GenerationOptions(maximumTokens: greedy.count))
    var ids: [Int32] = []
    for try await token in generation { if let id = token.id { ids.append(id) } }
    #expect(ids == greedy)
  }

  private func checkText(_ engine: Engine, _ text: JSONValue) async throws {
    let prompt = try #require(text["prompt"]?.string)
    let wantedPrompt = try #require(text["prompt_ids"]?.array).compactMap(\.integer)
    let wanted = try #require(text["greedy_ids"]?.array).compactMap(\.integer)
    #expect(try engine.encode(.text(prompt)).map(Int.init) == wantedPrompt)
    let generation = engine.generate(
      .text(prompt), options: GenerationOptions(maximumTokens: wanted.count))
    var ids: [Int] = []
    var written = ""
    for try await token in generation {
      if let id = token.id { ids.append(Int(id)) }
      written += token.text
    }
    #expect(ids == wanted)
    #expect(written == text["greedy_text"]?.string)
  }
}
