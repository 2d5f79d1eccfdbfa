import Checkpoints
import Support
import TestSupport

/// Writes a fixture's checkpoint as the GGUF file that llama.cpp's converter makes of it.
///
/// Names, orders and metadata keys are written out here once more, from that converter, so that a
/// mistake in the families' tables shows.
struct FamilyGGUF {
  let fixture: String
  private let checkpoint: Checkpoint
  private let config: JSONValue
  private var tensors: [TestTensor] = []

  static let architectures = [
    "qwen3_moe": "qwen3moe", "qwen2_moe": "qwen2moe", "mixtral": "llama", "olmoe": "olmoe",
    "granitemoe": "granitemoe", "phimoe": "phimoe", "glm4_moe": "glm4moe", "gpt_oss": "gpt-oss",
  ]

  init(_ fixture: String) throws {
    self.fixture = fixture
    checkpoint = try Checkpoint.open(Fixtures.path("oracle/" + fixture))
    config = checkpoint.config
    for name in checkpoint.tensorNames where !name.contains(".experts.") {
      if name.contains("layers.\(integer("num_hidden_layers")).") { continue }
      try add(name)
    }
    for layer in 0..<integer("num_hidden_layers") { try addExperts(layer) }
    if fixture == "phimoe", let scaling = config["rope_scaling"] {
      for length in ["short", "long"] {
        let factors = scaling["\(length)_factor"]?.array?.compactMap(\.double) ?? []
        let bytes = factors.flatMap { withUnsafeBytes(of: Float($0)) { Array($0) } }
        tensors.append(
          TestTensor(
            name: "rope_factors_\(length).weight", type: "F32", shape: [factors.count], bytes: bytes
          ))
      }
    }
  }

  private func integer(_ key: String) -> Int { config[key]?.integer ?? 0 }
  private func number(_ key: String) -> Double { config[key]?.double ?? 0 }

  /// Elements of two bytes or four, whatever they mean.
  private func read(_ name: String) throws -> TestTensor {
    guard let tensor = checkpoint.tensors[name] else {
      throw Failure(.notFound, fixture, at: name, "no such tensor")
    }
    var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
    try bytes.withUnsafeMutableBytes {
      try checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
    }
    return TestTensor(
      name: name, type: tensor.type == .f32 ? "F32" : "BF16", shape: tensor.shape, bytes: bytes)
  }

  private static let names: [(String, String)] = [
    ("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output"),
    ("model.layers.", "blk."), ("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm"),
    ("self_attn.sinks", "attn_sinks.weight"), ("input_layernorm", "attn_norm"),
    ("mlp.gate.e_score_correction_bias", "exp_probs_b.bias"),
    ("mlp.shared_expert_gate", "ffn_gate_inp_shexp"),
    ("mlp.shared_experts.", "mlp.shared_expert."),
    ("mlp.shared_expert.gate_proj", "ffn_gate_shexp"),
    ("mlp.shared_expert.up_proj", "ffn_up_shexp"),
    ("mlp.shared_expert.down_proj", "ffn_down_shexp"), ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down"), ("mlp.gate", "ffn_gate_inp"),
    ("mlp.router", "ffn_gate_inp"), ("block_sparse_moe.gate", "ffn_gate_inp"),
    ("block_sparse_moe.router.layer", "ffn_gate_inp"),
  ]

  private mutating func add(_ name: String) throws {
    var tensor = try read(name)
    if name.contains("put_linear") { return }
    var renamed = name
    for (from, to) in Self.names { renamed = renamed.replacing(from, with: to) }
    let hasPostNorm = fixture == "glm4_moe" || fixture == "gpt_oss"
    renamed = renamed.replacing(
      "post_attention_layernorm", with: hasPostNorm ? "post_attention_norm" : "ffn_norm")
    if fixture == "mixtral" || fixture == "granitemoe" {
      if name.contains("q_proj") { tensor.interleave(heads: integer("num_attention_heads")) }
      if name.contains("k_proj") { tensor.interleave(heads: integer("num_key_value_heads")) }
    }
    // The converter squeezes the gate of a shared expert, and keeps small tensors in f32.
    if name.contains("shared_expert_gate") { tensor.shape = [tensor.shape[1]] }
    if tensor.shape.count == 1 || renamed.contains("ffn_gate_inp") { tensor.widen() }
    tensor.name = renamed
    tensors.append(tensor)
  }

  private mutating func addExperts(_ layer: Int) throws {
    let prefix = "model.layers.\(layer)."
    func stack(_ name: String, _ parts: [TestTensor], bias: Bool = false) -> TestTensor {
      TestTensor(
        name: "blk.\(layer).ffn_\(name)_exps." + (bias ? "bias" : "weight"), type: parts[0].type,
        shape: [parts.count] + parts[0].shape, bytes: parts.flatMap(\.bytes))
    }
    if fixture == "gpt_oss" {
      let pair = try read(prefix + "mlp.experts.gate_up_proj").transposed()
      var bias = try read(prefix + "mlp.experts.gate_up_proj_bias")
      bias.widen()
      for (parity, name) in ["gate", "up"].enumerated() {
        tensors.append(stack(name, pair.map { $0.everyOtherRow(parity) }))
        tensors.append(
          stack(
            name, bias.parts().map { $0.column().everyOtherRow(parity) }.map { $0.flat() },
            bias: true))
      }
      tensors.append(stack("down", try read(prefix + "mlp.experts.down_proj").transposed()))
      var down = try read(prefix + "mlp.experts.down_proj_bias")
      down.widen()
      tensors.append(stack("down", down.parts(), bias: true))
    } else if fixture == "granitemoe" {
      let pair = try read(prefix + "block_sparse_moe.input_linear.weight").parts()
      tensors.append(stack("gate", pair.map { $0.halfOfRows(0) }))
      tensors.append(stack("up", pair.map { $0.halfOfRows(1) }))
      tensors.append(
        stack("down", try read(prefix + "block_sparse_moe.output_linear.weight").parts()))
    } else {
      let isMixtral = fixture == "mixtral" || fixture == "phimoe"
      let root = prefix + (isMixtral ? "block_sparse_moe.experts." : "mlp.experts.")
      guard checkpoint.tensors[root + "0." + (isMixtral ? "w1" : "gate_proj") + ".weight"] != nil
      else { return }
      let count = ["num_experts", "num_local_experts", "n_routed_experts"].map(integer).max() ?? 0
      for (name, leaf) in zip(
        ["gate", "up", "down"],
        isMixtral ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"])
      {
        tensors.append(stack(name, try (0..<count).map { try read(root + "\($0).\(leaf).weight") }))
      }
    }
  }

  private var metadata: [(String, JSONValue)] {
    let architecture = Self.architectures[fixture] ?? ""
    let extra = fixture == "glm4_moe" ? 1 : 0
    let experts = ["num_experts", "num_local_experts", "n_routed_experts"].map(integer).max() ?? 0
    var pairs: [(String, JSONValue)] = [
      ("block_count", .integer(integer("num_hidden_layers") + extra)),
      ("context_length", .integer(integer("max_position_embeddings"))),
      ("embedding_length", .integer(integer("hidden_size"))),
      ("feed_forward_length", .integer(integer("intermediate_size"))),
      ("attention.head_count", .integer(integer("num_attention_heads"))),
      ("attention.head_count_kv", .integer(integer("num_key_value_heads"))),
      ("rope.freq_base", .number(number("rope_theta"))),
      ("attention.layer_norm_rms_epsilon", .number(number("rms_norm_eps"))),
      ("expert_count", .integer(experts)),
      ("expert_used_count", .integer(integer("num_experts_per_tok"))),
    ]
    if config["head_dim"]?.integer != nil {
      pairs.append(("attention.key_length", .integer(integer("head_dim"))))
    }
    if config["moe_intermediate_size"] != nil {
      pairs.append(("expert_feed_forward_length", .integer(integer("moe_intermediate_size"))))
    }
    switch fixture {
    case "granitemoe":
      pairs += [
        ("embedding_scale", .number(number("embedding_multiplier"))),
        ("residual_scale", .number(number("residual_multiplier"))),
        ("logit_scale", .number(number("logits_scaling"))),
        ("attention.scale", .number(number("attention_multiplier"))),
      ]
    case "glm4_moe":
      pairs += [
        ("rope.dimension_count", .integer(integer("head_dim") / 2)),
        ("expert_shared_count", .integer(1)), ("leading_dense_block_count", .integer(1)),
        ("expert_gating_func", .integer(2)), ("nextn_predict_layers", .integer(1)),
        ("expert_weights_scale", .number(number("routed_scaling_factor"))),
      ]
    case "phimoe":
      pairs += [
        ("rope.scaling.original_context_length", .integer(4096)),
        // The converter writes √(1 + ln 32 / ln 4096), whatever the configuration says.
        ("rope.scaling.attn_factor", .number(1.190238118171692)),
      ]
    case "gpt_oss":
      pairs += [
        ("attention.sliding_window", .integer(integer("sliding_window"))),
        ("rope.scaling.type", .string("yarn")),
        ("rope.scaling.factor", .number(config["rope_scaling"]?["factor"]?.double ?? 0)),
        ("rope.scaling.original_context_length", .integer(4096)),
      ]
    default: break
    }
    return [("general.architecture", .string(architecture))]
      + pairs.map { (architecture + "." + $0.0, $0.1) }
  }

  var bytes: [UInt8] { CheckpointBytes.gguf(metadata, tensors) }
}

extension TestTensor {
  init(name: String, type: String, shape: [Int], bytes: [UInt8]) {
    self.name = name
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  private var size: Int { type == "F32" ? 4 : 2 }
  private var rowBytes: Int { (shape.last ?? 1) * size }

  private func picking(_ rows: [Int]) -> TestTensor {
    TestTensor(
      name: name, type: type, shape: [rows.count, shape.last ?? 1],
      bytes: rows.flatMap { bytes[$0 * rowBytes..<($0 + 1) * rowBytes] })
  }

  /// bf16 as f32.
  mutating func widen() {
    guard type == "BF16" else { return }
    bytes = stride(from: 0, to: bytes.count, by: 2).flatMap { [0, 0, bytes[$0], bytes[$0 + 1]] }
    type = "F32"
  }

  /// Each head's first half of rows to the even places, the second to the odd ones.
  mutating func interleave(heads: Int) {
    let rows = shape[0] / heads
    self = picking(
      (0..<heads).flatMap { head in
        (0..<rows).map { head * rows + ($0 % 2) * (rows / 2) + $0 / 2 }
      })
  }

  /// The parts along the first dimension.
  func parts() -> [TestTensor] {
    let count = bytes.count / shape[0]
    return (0..<shape[0]).map {
      TestTensor(
        name: name, type: type, shape: Array(shape.dropFirst()),
        bytes: Array(bytes[$0 * count..<($0 + 1) * count]))
    }
  }

  /// Each part [a][b] as [b][a].
  func transposed() -> [TestTensor] {
    parts().map { part in
      let (rows, columns) = (part.shape[0], part.shape[1])
      return TestTensor(
        name: name, type: type, shape: [columns, rows],
        bytes: (0..<columns).flatMap { column in
          (0..<rows).flatMap { row -> ArraySlice<UInt8> in
            let at = (row * columns + column) * part.size
            return part.bytes[at..<at + part.size]
          }
        })
    }
  }

  func everyOtherRow(_ parity: Int) -> TestTensor {
    picking(Array(stride(from: parity, to: shape[0], by: 2)))
  }

  func halfOfRows(_ half: Int) -> TestTensor {
    let count = shape[0] / 2
    return picking(Array(half * count..<(half + 1) * count))
  }

  func column() -> TestTensor {
    TestTensor(name: name, type: type, shape: [shape[0], 1], bytes: bytes)
  }

  func flat() -> TestTensor {
    TestTensor(name: name, type: type, shape: [shape.reduce(1, *)], bytes: bytes)
  }
}
