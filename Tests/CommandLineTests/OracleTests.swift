import Checkpoints
import Support
import TestSupport
import Testing

/// The command line against outputs of transformers (Tests/Fixtures/oracle).
@Suite struct OracleTests {
  private static let expected = Fixtures.path("oracle/qwen3_moe/expected.safetensors")
  private static let tolerance: Float = 1e-3

  private static func ids(_ values: [Int32]) -> String {
    values.map(String.init).joined(separator: ",")
  }

  @Test(arguments: ["config.json", "config.v5.json"])
  func logitsAndRoutingOfBothConfigurationSpellings(config: String) throws {
    let directory = try TemporaryDirectory("oracle")
    let source = directory.file("checkpoint")
    try FileSystem.createDirectory(source)
    for name in try FileSystem.list(TinyStore.checkpoint)
    where !name.hasPrefix("config") && !name.hasPrefix("expected") {
      try directory.write(
        try FileSystem.readBytes(TinyStore.checkpoint + "/" + name), to: "checkpoint/" + name)
    }
    try directory.write(
      try FileSystem.readBytes(TinyStore.checkpoint + "/" + config), to: "checkpoint/config.json")
    let store = directory.file("store.fmoe")
    let packed = try flashmoe("pack", source, "-o", store, "--scheme", "none", "--json")
    #expect(packed.code == 0, "\(packed.messages)")

    let expected = try SafetensorsFile(Self.expected)
    let input = try expected.values("input_ids", as: Int32.self)
    let output = directory.file("logits.safetensors")
    let idsFile = try directory.write(Self.ids(input) + "\n", to: "ids.txt")
    let result = try flashmoe(
      "logits", store, "--ids-file", idsFile, "-o", output, "--router", "--json")
    #expect(result.code == 0, "\(result.messages)")
    #expect(try result.json()["tokens"]?.integer == input.count)

    let actual = try SafetensorsFile(output)
    #expect(actual.shape("logits") == [input.count, 384])
    #expect(actual.type("logits") == .f32)
    let difference = zip(
      try expected.values("logits", as: Float.self), try actual.values("logits", as: Float.self)
    ).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    #expect(difference < Self.tolerance, "logits differ by \(difference)")

    for layer in 0..<3 {
      try Self.compareRouting(layer, expected, actual, rows: input.count)
    }
  }

  private static func compareRouting(
    _ layer: Int, _ expected: SafetensorsFile, _ actual: SafetensorsFile, rows: Int
  ) throws {
    let name = "router.\(layer)."
    #expect(actual.shape(name + "indices") == [rows, 4])
    #expect(actual.type(name + "indices") == .i32)
    let wantedIndices = try expected.values(name + "indices", as: Int32.self)
    let wantedWeights = try expected.values(name + "weights", as: Float.self)
    let indices = try actual.values(name + "indices", as: Int32.self)
    let weights = try actual.values(name + "weights", as: Float.self)
    for row in 0..<rows {
      let range = row * 4..<row * 4 + 4
      let wanted = Dictionary(uniqueKeysWithValues: zip(wantedIndices[range], wantedWeights[range]))
      #expect(Set(indices[range]) == Set(wanted.keys), "layer \(layer), row \(row)")
      for at in range {
        #expect(abs(weights[at] - (wanted[indices[at]] ?? -1)) < 1e-4)
        if at > range.lowerBound { #expect(weights[at] <= weights[at - 1]) }
      }
    }
  }

  @Test func longInputInSmallChunks() throws {
    let expected = try SafetensorsFile(Self.expected)
    let input = try expected.values("long_input_ids", as: Int32.self)
    let directory = try TemporaryDirectory("oracle")
    let output = directory.file("logits.safetensors")
    let result = try flashmoe(
      "logits", try TinyStore.exact(), "--ids", Self.ids(input), "-o", output, "--chunk", "7",
      "--slots", "5", "-t", "1")
    #expect(result.code == 0, "\(result.messages)")
    let actual = try SafetensorsFile(output)
    #expect(actual.names == ["logits"])
    let wanted = try expected.values("long_logits", as: Float.self)
    let logits = try actual.values("logits", as: Float.self).suffix(wanted.count)
    let difference = zip(wanted, logits).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
    #expect(difference < Self.tolerance, "logits differ by \(difference)")
  }

  @Test func greedyContinuationOfIDs() throws {
    let expected = try SafetensorsFile(Self.expected)
    let input = try expected.values("input_ids", as: Int32.self)
    let greedy = try expected.values("greedy_ids", as: Int32.self)
    let result = try flashmoe(
      "run", try TinyStore.exact(), "--ids", Self.ids(input), "-n", "\(greedy.count)", "--json",
      "--ignore-eos")
    #expect(result.code == 0, "\(result.messages)")
    let ids = try result.json()["ids"]?.array?.compactMap(\.integer)
    #expect(ids == greedy.map { Int($0) })
  }

  @Test func textFromPromptToContinuation() throws {
    let text = try FileSystem.readJSON(TinyStore.checkpoint + "/text.json")
    let prompt = try #require(text["prompt"]?.string)
    let result = try flashmoe(
      "run", try TinyStore.exact(), "-p", prompt, "-n", "8", "--temp", "0", "--json")
    #expect(result.code == 0, "\(result.messages)")
    let document = try result.json()
    #expect(document["prompt_ids"] == text["prompt_ids"])
    #expect(document["ids"] == text["greedy_ids"])
    #expect(document["text"] == text["greedy_text"])
    // Without --json the text is all there is on stdout.
    let plain = try flashmoe("run", try TinyStore.exact(), "-p", prompt, "-n", "8", "--temp", "0")
    #expect(plain.output == (text["greedy_text"]?.string ?? "") + "\n")
    let piped = try flashmoe(
      ["run", try TinyStore.exact(), "-f", "-", "-n", "8", "--json"], input: prompt)
    #expect(try piped.json()["ids"] == text["greedy_ids"])
  }
}
