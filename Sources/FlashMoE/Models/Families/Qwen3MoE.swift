import Checkpoints
import Support

/// Qwen3-MoE (Qwen3-30B-A3B, Qwen3-235B-A22B, Qwen3-Coder-30B): grouped-query attention with
/// per-head q/k norms, softmax routing over all experts, no shared expert.
///
/// Follows `transformers`' `modeling_qwen3_moe.py`.
public enum Qwen3MoE: ModelFamily {
  public static let modelTypes = ["qwen3_moe"]
  public static let ggufArchitectures = ["qwen3moe"]

  public static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  {
    let reader = ConfigurationReader(root: config, subject: subject)
    try reader.require("hidden_act", isOneOf: ["silu"], default: "silu")
    if try reader.flag("use_sliding_window", default: false) {
      throw reader.unsupported("use_sliding_window", "sliding windows are not supported")
    }
    let hidden = try reader.integer("hidden_size")
    let heads = try reader.integer("num_attention_heads", in: 1...4096)
    let keyValueHeads = try reader.integer(
      "num_key_value_heads", in: 1...4096, default: heads)
    guard heads % keyValueHeads == 0 else {
      throw reader.failure(
        "num_key_value_heads", "\(keyValueHeads) must divide num_attention_heads, \(heads)")
    }
    let headDimension = try reader.integer("head_dim", in: 2...512, default: hidden / heads)
    let expertCount = try reader.integer("num_experts", "num_local_experts", in: 1...65535)
    let perToken = try reader.integer("num_experts_per_tok", in: 1...1024)
    guard perToken <= expertCount else {
      throw reader.failure(
        "num_experts_per_tok", "\(perToken) is more than the \(expertCount) experts there are")
    }
    // The catalogue names every expert: a lying count must not fill memory with names.
    let layers = try reader.integer("num_hidden_layers", in: 1...4096)
    guard expertCount * layers <= 1 << 20 else {
      throw reader.failure("num_experts", "\(expertCount) in each of \(layers) layers is absurd")
    }
    let maximumPositions = try reader.integer("max_position_embeddings", default: 32768)
    return ModelConfiguration(
      modelType: "qwen3_moe",
      vocabularySize: try reader.integer("vocab_size"),
      hiddenSize: hidden,
      attention: ModelConfiguration.Attention(
        headCount: heads, keyValueHeadCount: keyValueHeads, headDimension: headDimension,
        hasBias: try reader.flag("attention_bias", default: false), normalizesHeads: true,
        rope: try RotaryEmbedding.read(
          reader, dimension: headDimension, maximumPositions: maximumPositions)),
      experts: ModelConfiguration.Experts(
        count: expertCount, perToken: perToken,
        inner: try reader.integer("moe_intermediate_size"),
        normalizesWeights: try reader.flag("norm_topk_prob", default: false)),
      feedForwards: try feedForwards(reader),
      normEpsilon: Float(try reader.number("rms_norm_eps", default: 1e-6)),
      tiesEmbeddings: try reader.flag("tie_word_embeddings", default: false),
      maximumPositions: maximumPositions,
      endTokens: try reader.integers("eos_token_id", in: 0...(1 << 26)).map { Int32($0) })
  }

  /// A layer has experts unless `mlp_only_layers` names it or `decoder_sparse_step` skips it.
  private static func feedForwards(_ reader: ConfigurationReader) throws(Failure)
    -> [ModelConfiguration.FeedForward]
  {
    let layers = try reader.integer("num_hidden_layers", in: 1...4096)
    let step = try reader.integer("decoder_sparse_step", in: 1...4096, default: 1)
    let denseLayers = try reader.integers("mlp_only_layers", in: 0...(layers - 1))
    var kinds: [ModelConfiguration.FeedForward] = []
    for layer in 0..<layers {
      if denseLayers.contains(layer) || (layer + 1) % step != 0 {
        kinds.append(.dense(inner: try reader.integer("intermediate_size")))
      } else {
        kinds.append(.experts)
      }
    }
    return kinds
  }

  public static func config(
    fromGGUF metadata: JSONObject, tensors: [String: TensorDescription], subject: String
  ) throws(Failure) -> JSONValue {
    let reader = ConfigurationReader(root: .object(metadata), subject: subject)
    let prefix = "qwen3moe."
    func integer(_ key: String) throws(Failure) -> JSONValue {
      .integer(try reader.integer(prefix + key))
    }
    let heads = try reader.integer(prefix + "attention.head_count")
    let hidden = try reader.integer(prefix + "embedding_length")
    guard let embedding = tensors["token_embd.weight"], let vocabulary = embedding.shape.first
    else {
      throw Failure(.malformed, subject, at: "token_embd.weight", "the tensor is missing")
    }
    var config: JSONObject = [
      "architectures": .array([.string("Qwen3MoeForCausalLM")]),
      "model_type": .string("qwen3_moe"),
      "hidden_act": .string("silu"),
      "hidden_size": .integer(hidden),
      "num_hidden_layers": try integer("block_count"),
      "num_attention_heads": .integer(heads),
      "num_key_value_heads": .integer(
        try reader.integer(prefix + "attention.head_count_kv", default: heads)),
      "head_dim": .integer(
        try reader.integer(prefix + "attention.key_length", default: max(hidden / heads, 1))),
      "num_experts": try integer("expert_count"),
      "num_experts_per_tok": try integer("expert_used_count"),
      "norm_topk_prob": .bool(true),
      "rms_norm_eps": .number(
        try reader.number(prefix + "attention.layer_norm_rms_epsilon", default: 1e-6)),
      "rope_theta": .number(try reader.number(prefix + "rope.freq_base", default: 10000)),
      "max_position_embeddings": try integer("context_length"),
      "tie_word_embeddings": .bool(tensors["output.weight"] == nil),
      "vocab_size": .integer(vocabulary),
    ]
    // The expert width is optional metadata in older files; the tensor's shape always tells.
    if reader.value([prefix + "expert_feed_forward_length"]) != nil {
      config["moe_intermediate_size"] = try integer("expert_feed_forward_length")
    } else if let gate = tensors["blk.0.ffn_gate_exps.weight"], gate.shape.count == 3 {
      config["moe_intermediate_size"] = .integer(gate.shape[1])
    }
    if let kind = try reader.string(prefix + "rope.scaling.type"), kind != "none" {
      config["rope_scaling"] = .object([
        "rope_type": .string(kind),
        "factor": .number(try reader.number(prefix + "rope.scaling.factor")),
        "original_max_position_embeddings": try integer("rope.scaling.original_context_length"),
      ])
    }
    if let end = metadata["tokenizer.ggml.eos_token_id"] { config["eos_token_id"] = end }
    return .object(config)
  }

  public static func catalog(_ configuration: ModelConfiguration, kind: Checkpoint.Kind)
    -> TensorCatalog
  {
    let names = Names(kind: kind)
    let hidden = configuration.hiddenSize
    let attention = configuration.attention
    var residents: [TensorCatalog.Resident] = []

    func add(_ name: String, _ role: TensorCatalog.Role, rows: Int, columns: Int) {
      residents.append(
        TensorCatalog.Resident(
          name: name, role: role,
          arrangement: .plain(
            TensorCatalog.Source(names.checkpoint(name), rows: rows, columns: columns))))
    }
    func addVector(_ name: String, _ count: Int) { add(name, .vector, rows: 1, columns: count) }

    add(
      "model.embed_tokens.weight", .embedding, rows: configuration.vocabularySize, columns: hidden)
    for (layer, kind) in configuration.feedForwards.enumerated() {
      let prefix = "model.layers.\(layer)."
      let projections = [
        ("q_proj", attention.queryRows, hidden), ("k_proj", attention.keyValueRows, hidden),
        ("v_proj", attention.keyValueRows, hidden), ("o_proj", hidden, attention.queryRows),
      ]
      addVector(prefix + "input_layernorm.weight", hidden)
      for (name, rows, columns) in projections {
        add(prefix + "self_attn.\(name).weight", .attention, rows: rows, columns: columns)
        if attention.hasBias { addVector(prefix + "self_attn.\(name).bias", rows) }
      }
      addVector(prefix + "self_attn.q_norm.weight", attention.headDimension)
      addVector(prefix + "self_attn.k_norm.weight", attention.headDimension)
      addVector(prefix + "post_attention_layernorm.weight", hidden)
      switch kind {
      case .experts:
        add(prefix + "mlp.gate.weight", .router, rows: configuration.experts.count, columns: hidden)
      case .dense(let inner):
        let gate = names.checkpoint(prefix + "mlp.gate_proj.weight")
        let up = names.checkpoint(prefix + "mlp.up_proj.weight")
        residents.append(
          TensorCatalog.Resident(
            name: prefix + "mlp.gate_up.weight", role: .dense,
            arrangement: .blockedPairs(
              gate: TensorCatalog.Source(gate, rows: inner, columns: hidden),
              up: TensorCatalog.Source(up, rows: inner, columns: hidden))))
        add(prefix + "mlp.down_proj.weight", .dense, rows: hidden, columns: inner)
      }
    }
    addVector("model.norm.weight", hidden)
    if !configuration.tiesEmbeddings {
      add("lm_head.weight", .head, rows: configuration.vocabularySize, columns: hidden)
    }
    return TensorCatalog(
      residents: residents,
      expertLayers: configuration.sparseLayers.map {
        expertLayer($0, configuration, names)
      },
      unused: [])
  }

  private static func expertLayer(
    _ layer: Int, _ configuration: ModelConfiguration, _ names: Names
  ) -> TensorCatalog.ExpertLayer {
    let inner = configuration.experts.inner
    let hidden = configuration.hiddenSize
    func source(_ projection: String, _ expert: Int, rows: Int, columns: Int)
      -> TensorCatalog.Source
    {
      let (tensor, stacked) = names.expert(layer, expert, projection)
      return TensorCatalog.Source(
        tensor, firstRow: stacked ? expert * rows : 0, rows: rows, columns: columns)
    }
    let experts = 0..<configuration.experts.count
    return TensorCatalog.ExpertLayer(
      layer: layer, expertCount: experts.count,
      gateUp: experts.map {
        .blockedPairs(
          gate: source("gate", $0, rows: inner, columns: hidden),
          up: source("up", $0, rows: inner, columns: hidden))
      },
      down: experts.map { .plain(source("down", $0, rows: hidden, columns: inner)) })
  }

  /// Store names are the published Hugging Face names; GGUF files use llama.cpp's.
  private struct Names {
    let kind: Checkpoint.Kind

    private static let gguf: [String: String] = [
      "input_layernorm.weight": "attn_norm.weight",
      "self_attn.q_proj.weight": "attn_q.weight", "self_attn.q_proj.bias": "attn_q.bias",
      "self_attn.k_proj.weight": "attn_k.weight", "self_attn.k_proj.bias": "attn_k.bias",
      "self_attn.v_proj.weight": "attn_v.weight", "self_attn.v_proj.bias": "attn_v.bias",
      "self_attn.o_proj.weight": "attn_output.weight", "self_attn.o_proj.bias": "attn_output.bias",
      "self_attn.q_norm.weight": "attn_q_norm.weight",
      "self_attn.k_norm.weight": "attn_k_norm.weight",
      "post_attention_layernorm.weight": "ffn_norm.weight",
      "mlp.gate.weight": "ffn_gate_inp.weight", "mlp.gate_proj.weight": "ffn_gate.weight",
      "mlp.up_proj.weight": "ffn_up.weight", "mlp.down_proj.weight": "ffn_down.weight",
    ]

    func checkpoint(_ name: String) -> String {
      guard kind == .gguf else { return name }
      switch name {
      case "model.embed_tokens.weight": return "token_embd.weight"
      case "model.norm.weight": return "output_norm.weight"
      case "lm_head.weight": return "output.weight"
      default: break
      }
      let parts = name.split(separator: ".", maxSplits: 3)
      guard parts.count == 4, let mapped = Self.gguf[String(parts[3])] else { return name }
      return "blk.\(parts[2]).\(mapped)"
    }

    func expert(_ layer: Int, _ expert: Int, _ projection: String) -> (String, stacked: Bool) {
      kind == .gguf
        ? ("blk.\(layer).ffn_\(projection)_exps.weight", true)
        : ("model.layers.\(layer).mlp.experts.\(expert).\(projection)_proj.weight", false)
    }
  }
}
