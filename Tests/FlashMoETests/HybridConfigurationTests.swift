import Support
import TestSupport
import Testing

@testable import FlashMoE

/// Configurations of latent attention and of gated DeltaNets.
@Suite struct HybridConfigurationTests {
  private static func text(_ fixture: String) throws -> String {
    try FileSystem.readText(Fixtures.path("oracle/\(fixture)/config.json"))
  }

  private func read(_ fixture: String, _ change: (inout JSONObject) -> Void = { _ in }) throws
    -> ModelConfiguration
  {
    guard var config = try JSONValue.parse(try Self.text(fixture), subject: "config.json").object
    else { throw Failure(.malformed, "config.json", "not an object") }
    change(&config)
    return try ModelRegistry.read(.object(config), subject: "config.json").configuration
  }

  @Test func kimiIsDeepSeekUnderItsOwnName() throws {
    var kimi = try read("deepseek_v3") { $0["model_type"] = .string("kimi_k2") }
    #expect(kimi.modelType == "kimi_k2")
    kimi.modelType = "deepseek_v3"
    #expect(kimi == (try read("deepseek_v3")))
    // Kimi-K2's one group and its beta_fast = beta_slow.
    let flat = try read("deepseek_v3") {
      $0["n_group"] = .integer(1)
      $0["topk_group"] = .integer(1)
    }
    #expect(flat.experts.routing.groups == nil && flat.experts.routing.hasCorrection)
  }

  @Test func nestedTextIsTheFlatOne() throws {
    #expect(try read("qwen3_5_moe_vl") == (try read("qwen3_5_moe")))
    let tied = try read("qwen3_5_moe_vl") { $0["tie_word_embeddings"] = .bool(true) }
    // The inner object's own word counts.
    #expect(tied.tiesEmbeddings == false)
  }

  @Test func layersFollowIntervalAndList() throws {
    let counted = try read("qwen3_next") { $0["full_attention_interval"] = .integer(2) }
    #expect(counted.attentions.count == 2 && counted.deltaNets.count == 2)
    let listed = try read("qwen3_5_moe") {
      $0["layer_types"] = .array(
        ["full_attention", "linear_attention", "full_attention", "full_attention"].map {
          .string($0)
        })
    }
    #expect(listed.attentions.count == 3)
    if case .deltaNet = listed.mixers[1] {} else { Issue.record("layer 1 is no DeltaNet") }
  }

  @Test func scoresAreScaledBySquaredMagnitude() throws {
    // 0.1 · 0.707 · ln 40 + 1, squared, over √48.
    let scaled = try #require(try read("deepseek_v2").latentAttentions.first)
    #expect(abs(scaled.scale - 1.589626 / Float(48).squareRoot()) < 1e-5)
    #expect(abs(scaled.rope.attentionFactor() - 1) < 1e-6)
    let plain = try #require(
      try read("deepseek_v2") { $0["rope_scaling"] = .null }.latentAttentions.first)
    #expect(plain.scale == 1 / Float(48).squareRoot())
    #expect(plain.rope.pairing == .neighbours)
  }

  @Test func whatWouldChangeTheResultIsRefusedByName() throws {
    func refused(_ fixture: String, _ key: String, _ value: JSONValue) {
      #expect {
        _ = try read(fixture) { $0[key] = value }
      } throws: { error in
        "\(error)".contains(key)
      }
    }
    refused("deepseek_v2", "topk_method", .string("noaux_tc"))
    refused("deepseek_v2", "scoring_func", .string("sigmoid"))
    refused("deepseek_v2", "moe_layer_freq", .integer(2))
    refused("deepseek_v2", "hidden_act", .string("gelu"))
    refused("deepseek_v3", "scoring_func", .string("softmax"))
    refused("deepseek_v3", "n_group", .integer(3))
    refused("deepseek_v3", "kv_lora_rank", .integer(0))
    refused("qwen3_next", "attention_bias", .bool(true))
    refused("qwen3_next", "linear_num_key_heads", .integer(3))
    refused("qwen3_next", "linear_conv_kernel_dim", .integer(17))
    refused("qwen3_next", "linear_value_head_dim", .integer(5000))
    refused("qwen3_5_moe", "layer_types", .array([.string("full_attention")]))
    refused("qwen3_5_moe", "layer_types", .array(Array(repeating: .string("mamba"), count: 4)))
    refused("qwen3_5_moe_vl", "text_config", .integer(1))
  }

  @Test(arguments: ["deepseek_v2_group", "deepseek_v3", "qwen3_next", "qwen3_5_moe_vl"])
  func mutationsNeverCrash(fixture: String) throws {
    var fuzzer = Fuzzer(
      "config of " + fixture, seeds: [Array(try Self.text(fixture).utf8)],
      dictionary: [
        "null", "-1", "0", "4096", "1024", "99999999999", "1e400", "[", "]", "{", "}", "\"yarn\"",
      ])
    let outcome = try fuzzer.run(iterations: 1500) { bytes in
      let config = try JSONValue.parse(bytes, subject: "config.json")
      let (family, configuration) = try ModelRegistry.read(config, subject: "config.json")
      if configuration.layerCount * configuration.experts.count < 10_000 {
        _ = family.catalog(configuration, form: .published)
        _ = family.catalog(configuration, form: CheckpointForm(kind: .gguf))
      }
      _ = Scratch.bytes(configuration, chunkLength: 2048, threadCount: 2)
      _ = ModelState.bytes(configuration, type: .f16, contextLength: 4096)
    }
    #expect(outcome.accepted > 20 && outcome.refused > 200)
  }
}
