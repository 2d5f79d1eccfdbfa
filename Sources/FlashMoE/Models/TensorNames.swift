import Checkpoints

/// What a catalogue needs to know of a checkpoint: the container, and which tensors are there.
///
/// Families whose published files come in several forms look at the names to see which one it is.
public struct CheckpointForm: Sendable {
  public var kind: Checkpoint.Kind
  public var tensors: [String: TensorDescription]

  public init(kind: Checkpoint.Kind, tensors: [String: TensorDescription] = [:]) {
    self.kind = kind
    self.tensors = tensors
  }

  public init(_ checkpoint: Checkpoint) {
    self.init(kind: checkpoint.kind, tensors: checkpoint.tensors)
  }

  /// The form in which a family publishes its safetensors.
  public static let published = CheckpointForm(kind: .huggingFace)

  public func contains(_ name: String) -> Bool { tensors[name] != nil }
}

/// How a family's checkpoints call what every store calls by the same name.
///
/// Store names are those of the Qwen and Llama families.  A layer's names are given without
/// `model.layers.N.`; what is not listed has the store's own name in safetensors and llama.cpp's
/// usual one in GGUF.
struct TensorNames {
  /// The experts' tensors in safetensors.
  enum Experts {
    /// A tensor an expert and projection: `PREFIX.E.gate`.
    case each(prefix: String, gate: String, up: String, down: String)
    /// All experts in one tensor, gate and up in one.
    case stacked(Stacked)
  }

  struct Stacked {
    var gateUp: String
    var down: String
    /// Gate and up rows alternate; otherwise all gate rows come first.
    var alternates = false
    /// [expert][input][output].
    var isTransposed = false
  }

  /// What layer names start with in safetensors.
  var root = "model."
  var published: [String: String] = [:]
  var gguf: [String: String] = [:]
  var experts = Experts.each(
    prefix: "mlp.experts", gate: "gate_proj.weight", up: "up_proj.weight", down: "down_proj.weight")
  /// Whether llama.cpp's converter reorders the rows of q and k.
  var ggufInterleavesHeads = false
  /// Whether safetensors hold a DeltaNet's projections in two tensors, interleaved by key head.
  var fusesDeltaProjections = false

  func tensor(_ suffix: String, layer: Int, _ kind: Checkpoint.Kind) -> String {
    switch kind {
    case .huggingFace: "\(root)layers.\(layer)." + (published[suffix] ?? suffix)
    case .gguf: "blk.\(layer)." + (gguf[suffix] ?? Self.llamaCpp[suffix] ?? suffix)
    }
  }

  /// A tensor that belongs to no layer.
  func tensor(_ name: String, _ kind: Checkpoint.Kind) -> String {
    switch kind {
    case .huggingFace:
      published[name] ?? (name.hasPrefix("model.") ? root + name.dropFirst("model.".count) : name)
    case .gguf: gguf[name] ?? Self.llamaCpp[name] ?? name
    }
  }

  static let llamaCpp: [String: String] = [
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight", "model.norm.bias": "output_norm.bias",
    "lm_head.weight": "output.weight", "lm_head.bias": "output.bias",
    "input_layernorm.weight": "attn_norm.weight", "input_layernorm.bias": "attn_norm.bias",
    "self_attn.q_proj.weight": "attn_q.weight", "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight", "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight", "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight", "self_attn.o_proj.bias": "attn_output.bias",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "self_attn.sinks": "attn_sinks.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "post_attention_layernorm.bias": "ffn_norm.bias",
    "mlp.gate.weight": "ffn_gate_inp.weight", "mlp.gate.bias": "ffn_gate_inp.bias",
    "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    "mlp.gate_proj.weight": "ffn_gate.weight", "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "mlp.shared_expert.gate_proj.weight": "ffn_gate_shexp.weight",
    "mlp.shared_expert.up_proj.weight": "ffn_up_shexp.weight",
    "mlp.shared_expert.down_proj.weight": "ffn_down_shexp.weight",
    "mlp.shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
    "self_attn.q_a_proj.weight": "attn_q_a.weight",
    "self_attn.q_a_proj.bias": "attn_q_a.bias",
    "self_attn.kv_a_proj_with_mqa.bias": "attn_kv_a_mqa.bias",
    "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
    "self_attn.q_b_proj.weight": "attn_q_b.weight",
    "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
    "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
    "self_attn.kv_b_proj.weight": "attn_kv_b.weight",
    "self_attn.k_b_proj.weight": "attn_k_b.weight",
    "self_attn.v_b_proj.weight": "attn_v_b.weight",
    "linear_attn.in_proj_qkvz.weight": "ssm_in.weight",
    "linear_attn.in_proj_ba.weight": "ssm_ba.weight",
    "linear_attn.in_proj_qkv.weight": "attn_qkv.weight",
    "linear_attn.in_proj_z.weight": "attn_gate.weight",
    "linear_attn.in_proj_b.weight": "ssm_beta.weight",
    "linear_attn.in_proj_a.weight": "ssm_alpha.weight",
    "linear_attn.A_log": "ssm_a", "linear_attn.dt_bias": "ssm_dt.bias",
    "linear_attn.conv1d.weight": "ssm_conv1d.weight",
    "linear_attn.norm.weight": "ssm_norm.weight",
    "linear_attn.out_proj.weight": "ssm_out.weight",
    "mlp.experts.gate_proj.bias": "ffn_gate_exps.bias",
    "mlp.experts.up_proj.bias": "ffn_up_exps.bias",
    "mlp.experts.down_proj.bias": "ffn_down_exps.bias",
  ]
}
