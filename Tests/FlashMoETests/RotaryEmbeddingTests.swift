import Support
import TestSupport
import Testing

@testable import FlashMoE

@Suite struct RotaryEmbeddingTests {
  private func read(_ config: String, dimension: Int = 8, maximum: Int = 32768) throws
    -> RotaryEmbedding
  {
    try RotaryEmbedding.read(
      ConfigurationReader(root: try JSONValue.parse(config, subject: "test"), subject: "config"),
      dimension: dimension, maximumPositions: maximum)
  }

  private func check(_ values: [Float], _ expected: [Double], within: Double = 2e-7) {
    #expect(values.count == expected.count)
    for (value, want) in zip(values, expected) {
      #expect(abs(Double(value) - want) <= within * abs(want) + 1e-12)
    }
  }

  @Test func plainFrequencies() throws {
    let rope = try read(#"{"rope_theta": 10000}"#)
    check(rope.inverseFrequencies(), [1, 0.1, 0.01, 0.001])
    #expect(rope.attentionFactor() == 1)
  }

  @Test func bothSpellingsAgree() throws {
    let published = try read(
      #"{"rope_theta": 5e6, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}}"#
    )
    let later = try read(
      #"{"rope_parameters": {"rope_theta": 5e6, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}}"#
    )
    #expect(published == later)
  }

  /// Values of transformers 5.23.0's `ROPE_INIT_FUNCTIONS` for 16 dimensions.
  @Test func scalingMatchesTransformers() throws {
    let yarn = try read(
      #"{"rope_theta": 5e6, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}}"#,
      dimension: 16)
    check(
      yarn.inverseFrequencies(),
      [
        1.0, 0.14542154967784882, 0.01586056873202324, 0.0015376454684883356,
        0.00011180340516148135, 1.625862205401063e-05, 2.364354031669791e-06,
        3.438280202772148e-07,
      ])
    #expect(abs(yarn.attentionFactor() - 1.138629436111989) < 1e-6)
    let llama3 = try read(
      #"{"rope_theta": 1e4, "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}"#,
      dimension: 16)
    check(
      llama3.inverseFrequencies(),
      [
        1.0, 0.24438458681106567, 0.013042256236076355, 0.0039528473280370235,
        0.0012499999720603228, 0.00039528473280370235, 0.0001250000059371814,
        3.9528473280370235e-05,
      ])
    let linear = try read(
      #"{"rope_theta": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 2.5}}"#, dimension: 4)
    check(linear.inverseFrequencies(), [0.4, 0.004])
  }

  /// Every kind of scaling in both spellings, against `ROPE_INIT_FUNCTIONS` (tools/make_rope_cases.py).
  @Test func everyKindMatchesTransformers() throws {
    let cases = try #require(FileSystem.readJSON(Fixtures.path("rope/transformers.json")).array)
    #expect(cases.count >= 10)
    for entry in cases {
      let config = try #require(entry["config"]?.object)
      var published = config
      published["rope_scaling"] = config["rope_parameters"]
      published["rope_theta"] = config["rope_parameters"]?["rope_theta"]
      published["rope_parameters"] = .null
      let head = try #require(entry["head_dim"]?.integer)
      let length = try #require(entry["length"]?.integer)
      for spelling in [config, published] {
        let reader = ConfigurationReader(root: .object(spelling), subject: "config")
        let rope = try RotaryEmbedding.read(
          reader, dimension: try RotaryEmbedding.dimension(reader, of: head),
          maximumPositions: try reader.integer("max_position_embeddings"))
        let wanted = (entry["frequencies"]?.array ?? []).compactMap(\.double)
        check(rope.inverseFrequencies(contextLength: length), wanted, within: 5e-7)
        let factor = try #require(entry["factor"]?.double)
        #expect(abs(Double(rope.attentionFactor(contextLength: length)) - factor) < 1e-6)
      }
    }
  }

  /// Phi's factors replace the usual one, by context.
  @Test func magnitudesOfLongRoPE() throws {
    let rope = try read(
      #"{"rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2], "short_mscale": 1.25, "long_mscale": 1.5, "original_max_position_embeddings": 64}}"#,
      maximum: 128)
    #expect(rope.attentionFactor(contextLength: 64) == 1.25)
    #expect(rope.attentionFactor(contextLength: 65) == 1.5)
    check(rope.inverseFrequencies(contextLength: 64), [1, 0.1, 0.01, 0.001])
    check(rope.inverseFrequencies(contextLength: 65), [0.5, 0.05, 0.005, 0.0005])
    #expect {
      try read(
        #"{"rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": [1, 1, 1, 1]}}"#
      )
    } throws: { "\($0)".contains("short_factor") }
  }

  /// A scaling that users add to a configuration lengthens what it allows.
  @Test func scalingsReachBeyondTheStatedMaximum() throws {
    let yarn = try read(
      #"{"rope_scaling": {"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768}}"#,
      maximum: 40960)
    #expect(yarn.maximumPositions(40960) == 131072)
    #expect(try read(#"{"rope_theta": 1e4}"#).maximumPositions(4096) == 4096)
  }

  @Test func unknownKindsAreRefusedByName() {
    #expect { try read(#"{"rope_scaling": {"rope_type": "spiral", "factor": 2}}"#) } throws: {
      "\($0)".contains("\"spiral\" is not supported")
    }
    #expect(throws: Failure.self) { try read(#"{"rope_scaling": 3}"#) }
    #expect(throws: Failure.self) { try read(#"{"rope_scaling": {"type": "linear"}}"#) }
    #expect(throws: Failure.self) { try read(#"{"rope_theta": -1}"#) }
    #expect(throws: Failure.self) { try read("{}", dimension: 7) }
  }
}
