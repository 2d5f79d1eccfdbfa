import Checkpoints
import Support
import TestSupport
import Testing

@testable import FlashMoE

@Suite struct ConfigurationTests {
  private func text() throws -> String {
    try FileSystem.readText(Fixtures.path("oracle/qwen3_moe/config.json"))
  }

  private func read(_ change: (inout JSONObject) -> Void) throws -> ModelConfiguration {
    guard var config = try JSONValue.parse(try text(), subject: "config.json").object else {
      throw Failure(.malformed, "config.json", "not an object")
    }
    change(&config)
    return try ModelRegistry.read(.object(config), subject: "config.json").configuration
  }

  @Test func readsThePublishedForm() throws {
    let configuration = try read { _ in }
    #expect(configuration.experts.count == 12)
    #expect(configuration.experts.perToken == 4)
    #expect(configuration.attentions.map(\.queriesPerKeyValueHead) == [2, 2, 2])
    #expect(configuration.sparseLayers == [0, 1, 2])
    #expect(configuration.endTokens == [378])
  }

  @Test func denseLayersFollowStepAndList() throws {
    let stepped = try read { $0["decoder_sparse_step"] = .integer(2) }
    #expect(stepped.sparseLayers == [1])
    let listed = try read { $0["mlp_only_layers"] = .array([.integer(0), .integer(2)]) }
    #expect(listed.sparseLayers == [1])
    #expect(listed.feedForwards[0] == .dense(inner: 128))
  }

  @Test func whatWouldChangeTheResultIsRefusedByName() throws {
    let cases: [(String, JSONValue, String)] = [
      ("model_type", .string("gpt9"), "\"gpt9\" is not a known architecture"),
      ("hidden_act", .string("gelu"), "\"gelu\" is not supported"),
      ("num_key_value_heads", .integer(3), "must divide"),
      ("num_experts_per_tok", .integer(13), "more than the 12 experts"),
      ("hidden_size", .integer(-4), "whole number"),
      ("hidden_size", .string("64"), "whole number"),
      ("num_experts", .integer(65000), ""),
      ("num_hidden_layers", .integer(1 << 40), "whole number"),
      ("mlp_only_layers", .array([.integer(9)]), "mlp_only_layers"),
      ("rms_norm_eps", .string("x"), "must be a number"),
    ]
    for (key, value, complaint) in cases {
      #expect {
        try self.read {
          $0[key] = value
          if key == "num_experts" { $0["num_hidden_layers"] = .integer(4000) }
        }
      } throws: { "\($0)".contains(key) && "\($0)".contains(complaint) }
    }
  }

  @Test func mutationsNeverCrash() throws {
    var fuzzer = Fuzzer(
      "config", seeds: [Array(try text().utf8)],
      dictionary: [
        "null", "-1", "0", "99999999999", "1e400", "[", "]", "{", "}", "\"yarn\"", "true",
      ])
    let outcome = try fuzzer.run(iterations: 3000) { bytes in
      let config = try JSONValue.parse(bytes, subject: "config.json")
      let (family, configuration) = try ModelRegistry.read(config, subject: "config.json")
      if configuration.layerCount * configuration.experts.count < 10_000 {
        _ = family.catalog(configuration, form: .published)
        _ = family.catalog(configuration, form: CheckpointForm(kind: .gguf))
      }
      _ = Scratch.bytes(configuration, chunkLength: 2048, threadCount: 2)
    }
    #expect(outcome.accepted > 50 && outcome.refused > 500)
  }
}
