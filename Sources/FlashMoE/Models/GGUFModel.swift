import Checkpoints
import Support

/// A GGUF file as families see it: metadata under the architecture's prefix, and small tensors.
public struct GGUFModel: Sendable {
  let checkpoint: Checkpoint
  let architecture: String
  private let reader: ConfigurationReader

  init(_ checkpoint: Checkpoint, architecture: String) {
    self.checkpoint = checkpoint
    self.architecture = architecture
    reader = ConfigurationReader(
      root: .object(checkpoint.metadata), subject: checkpoint.path)
  }

  var tensors: [String: TensorDescription] { checkpoint.tensors }
  var subject: String { checkpoint.path }

  private func key(_ name: String) -> String { architecture + "." + name }

  func has(_ name: String) -> Bool { reader.value([key(name)]) != nil }

  func unsupported(_ name: String, _ problem: String) -> Failure {
    reader.unsupported(key(name), problem)
  }

  /// A number; a list with one entry a layer counts where all entries are the same.
  func integer(
    _ name: String, in range: ClosedRange<Int> = 0...(1 << 40), default fallback: Int? = nil
  ) throws(Failure) -> Int {
    if let list = reader.value([key(name)])?.array {
      guard let first = list.first?.integer, range.contains(first),
        list.allSatisfy({ $0.integer == first })
      else { throw unsupported(name, "differs between layers") }
      return first
    }
    return try reader.integer(key(name), in: range, default: fallback)
  }

  func number(_ name: String, default fallback: Double? = nil) throws(Failure) -> Double {
    try reader.number(key(name), default: fallback)
  }

  func string(_ name: String) throws(Failure) -> String? { try reader.string(key(name)) }

  func flag(_ name: String, default fallback: Bool) throws(Failure) -> Bool {
    try reader.flag(key(name), default: fallback)
  }

  /// All values of a small f32 tensor.
  func floats(_ name: String) throws(Failure) -> [Double]? {
    guard let tensor = tensors[name] else { return nil }
    guard tensor.type == .f32, tensor.byteCount <= 1 << 20 else {
      throw Failure(.unsupported, subject, at: "tensor \(name)", "must be a short list of f32")
    }
    var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
    var failure: Failure?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(Failure) {
        try checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: buffer)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes.withUnsafeBytes { raw in
      (0..<raw.count / 4).map {
        Double(
          Float(
            bitPattern: UInt32(
              littleEndian: raw.loadUnaligned(
                fromByteOffset: 4 * $0, as: UInt32.self))))
      }
    }
  }

  /// A `config.json` of what all architectures say alike.
  ///
  /// - Parameters:
  ///   - expertKey: the family's name for the number of experts, and for their inner size.
  func config(
    modelType: String, class name: String, expertKey: String, innerKey: String
  ) throws(Failure) -> JSONObject {
    let heads = try integer("attention.head_count", in: 1...4096)
    let hidden = try integer("embedding_length", in: 1...(1 << 26))
    guard let embedding = tensors["token_embd.weight"], let vocabulary = embedding.shape.first
    else {
      throw Failure(.malformed, subject, at: "token_embd.weight", "the tensor is missing")
    }
    var config: JSONObject = [
      "architectures": .array([.string(name)]),
      "model_type": .string(modelType),
      "hidden_act": .string("silu"),
      "hidden_size": .integer(hidden),
      "num_hidden_layers": .integer(try integer("block_count")),
      "num_attention_heads": .integer(heads),
      "num_key_value_heads": .integer(try integer("attention.head_count_kv", default: heads)),
      "head_dim": .integer(try integer("attention.key_length", default: max(hidden / heads, 1))),
      expertKey: .integer(try integer("expert_count")),
      "num_experts_per_tok": .integer(try integer("expert_used_count")),
      "rms_norm_eps": .number(
        try number(
          "attention.layer_norm_rms_epsilon",
          default: try number("attention.layer_norm_epsilon", default: 1e-6))),
      "rope_theta": .number(try number("rope.freq_base", default: 10000)),
      "max_position_embeddings": .integer(try integer("context_length")),
      "tie_word_embeddings": .bool(tensors["output.weight"] == nil),
      "vocab_size": .integer(vocabulary),
    ]
    // The expert width is optional metadata in older files; the tensor's shape always tells.
    if has("expert_feed_forward_length") {
      config[innerKey] = .integer(try integer("expert_feed_forward_length"))
    } else if let inner = expertWidth {
      config[innerKey] = .integer(inner)
    } else if has("feed_forward_length") {
      config[innerKey] = .integer(try integer("feed_forward_length"))
    }
    if let scaling = try ropeScaling() { config["rope_scaling"] = scaling }
    if tensors["rope_freqs.weight"] != nil {
      throw Failure(
        .unsupported, subject, at: "tensor rope_freqs.weight",
        "rotation frequencies as a tensor are not supported",
        remedy: "Pack the model's safetensors checkpoint instead")
    }
    if let end = checkpoint.metadata["tokenizer.ggml.eos_token_id"] { config["eos_token_id"] = end }
    return config
  }

  private var expertWidth: Int? {
    for layer in 0..<4 {
      if let gate = tensors["blk.\(layer).ffn_gate_exps.weight"], gate.shape.count == 3 {
        return gate.shape[1]
      }
      if let gate = tensors["blk.\(layer).ffn_gate.0.weight"], gate.shape.count == 2 {
        return gate.shape[0]
      }
    }
    return nil
  }

  private func ropeScaling() throws(Failure) -> JSONValue? {
    guard let kind = try string("rope.scaling.type"), kind != "none", kind != "longrope" else {
      return nil
    }
    var scaling: JSONObject = [
      "rope_type": .string(kind),
      "factor": .number(try number("rope.scaling.factor")),
    ]
    if has("rope.scaling.original_context_length") {
      scaling["original_max_position_embeddings"] = .integer(
        try integer("rope.scaling.original_context_length"))
    }
    if has("rope.scaling.yarn_beta_fast") {
      scaling["beta_fast"] = .number(try number("rope.scaling.yarn_beta_fast"))
    }
    if has("rope.scaling.yarn_beta_slow") {
      scaling["beta_slow"] = .number(try number("rope.scaling.yarn_beta_slow"))
    }
    return .object(scaling)
  }
}
