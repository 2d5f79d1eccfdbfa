import Support
import TestSupport
import WeightStore

/// A tensor as the writers below put it into a file.
struct TestTensor {
  var name: String
  /// As safetensors spell it: `F32`, `BF16`, …; in GGUF also `Q4_0` and `Q8_0`.
  var type: String
  var shape: [Int]
  var bytes: [UInt8]

  /// Random numbers; quantized blocks are random bytes with small scales.
  init(_ name: String, _ type: String, _ shape: [Int], _ random: inout SeededRandom) {
    self.name = name
    self.type = type
    self.shape = shape
    let count = shape.reduce(1, *)
    bytes = []
    for _ in 0..<(type.hasPrefix("Q") ? count / 32 : count) {
      let value = Float.random(in: -1...1, using: &random)
      switch type {
      case "F32": withUnsafeBytes(of: value) { bytes += Array($0) }
      case "BF16": bytes += Self.word(UInt16(value.bitPattern >> 16))
      case "F16": bytes += Self.word(Float16(value).bitPattern)
      case "Q4_0", "Q8_0":
        bytes += Self.word(Float16(value / 50).bitPattern) + random.bytes(type == "Q4_0" ? 16 : 32)
      default: bytes.append(UInt8(random.below(100)))
      }
    }
  }

  /// These very bytes.
  init(_ name: String, _ type: String, _ shape: [Int], bytes: [UInt8]) {
    self.name = name
    self.type = type
    self.shape = shape
    self.bytes = bytes
  }

  static func word(_ value: UInt16) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8)] }

  /// One element as the format defines it.
  func value(_ index: Int) -> Float {
    func word(_ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }
    func half(_ at: Int) -> Float { Float(Float16(bitPattern: word(at))) }
    switch type {
    case "F32":
      return Float(bitPattern: UInt32(word(index * 4)) | UInt32(word(index * 4 + 2)) << 16)
    case "BF16": return Float(bitPattern: UInt32(word(index * 2)) << 16)
    case "F16": return half(index * 2)
    case "Q8_0":
      let block = index / 32 * 34
      return half(block) * Float(Int8(bitPattern: bytes[block + 2 + index % 32]))
    default:
      let block = index / 32 * 18
      let byte = bytes[block + 2 + index % 16]
      return half(block) * Float(Int(index % 32 < 16 ? byte & 15 : byte >> 4) - 8)
    }
  }
}

enum CheckpointBytes {
  static func safetensors(_ tensors: [TestTensor]) -> [UInt8] {
    var header = JSONObject()
    var data: [UInt8] = []
    for tensor in tensors {
      header[tensor.name] = .object([
        "dtype": .string(tensor.type), "shape": .array(tensor.shape.map { .integer($0) }),
        "data_offsets": .array([.integer(data.count), .integer(data.count + tensor.bytes.count)]),
      ])
      data += tensor.bytes
    }
    var text = Array(JSONValue.object(header).serialized().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    return little(UInt64(text.count)) + text + data
  }

  /// GGUF version 3: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
  static func gguf(_ metadata: [(String, JSONValue)], _ tensors: [TestTensor]) -> [UInt8] {
    let types = ["F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8, "BF16": 30]
    var bytes = Array("GGUF".utf8) + little(UInt32(3))
    bytes += little(UInt64(tensors.count)) + little(UInt64(metadata.count))
    for (key, value) in metadata { bytes += string(key) + encoded(value) }
    var offset = 0
    for tensor in tensors {
      bytes += string(tensor.name) + little(UInt32(tensor.shape.count))
      for dimension in tensor.shape.reversed() { bytes += little(UInt64(dimension)) }
      bytes += little(UInt32(types[tensor.type] ?? 0)) + little(UInt64(offset))
      offset = alignUp(offset + tensor.bytes.count, to: 32)
    }
    for tensor in tensors {
      while bytes.count % 32 != 0 { bytes.append(0) }
      bytes += tensor.bytes
    }
    return bytes
  }

  private static func encoded(_ value: JSONValue) -> [UInt8] {
    switch value {
    case .string(let text): return little(UInt32(8)) + string(text)
    case .number(let number): return little(UInt32(6)) + little(Float(number).bitPattern)
    case .integer(let number): return little(UInt32(4)) + little(UInt32(number))
    case .array(let values):
      // Strings only: what vocabularies need.
      return little(UInt32(9)) + little(UInt32(8)) + little(UInt64(values.count))
        + values.flatMap { string($0.string ?? "") }
    default: return little(UInt32(7)) + [0]
    }
  }

  private static func string(_ text: String) -> [UInt8] {
    little(UInt64(text.utf8.count)) + Array(text.utf8)
  }

  private static func little<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}

/// A tiny Qwen3-MoE with one dense and one sparse layer, in either format.
struct TestModel {
  static let hidden = 64
  static let inner = 32
  static let experts = 4
  var config: JSONObject = [
    "model_type": .string("qwen3_moe"), "hidden_size": .integer(hidden),
    "num_hidden_layers": .integer(2), "num_attention_heads": .integer(4),
    "num_key_value_heads": .integer(2), "head_dim": .integer(16),
    "num_experts": .integer(experts), "num_experts_per_tok": .integer(2),
    "moe_intermediate_size": .integer(inner), "intermediate_size": .integer(96),
    "mlp_only_layers": .array([.integer(0)]), "vocab_size": .integer(40),
    "tie_word_embeddings": .bool(false),
  ]
  var tensors: [TestTensor] = []

  init(type: String = "BF16") {
    var random = SeededRandom(seed: 5)
    func add(_ name: String, _ shape: Int..., as other: String? = nil) {
      tensors.append(TestTensor(name, other ?? type, shape, &random))
    }
    add("model.embed_tokens.weight", 40, Self.hidden)
    for layer in 0..<2 {
      let prefix = "model.layers.\(layer)."
      for name in ["input_layernorm", "post_attention_layernorm"] {
        add(prefix + name + ".weight", Self.hidden)
      }
      for name in ["q_norm", "k_norm"] { add(prefix + "self_attn.\(name).weight", 16) }
      for (name, rows) in [("q", 64), ("k", 32), ("v", 32), ("o", 64)] {
        add(prefix + "self_attn.\(name)_proj.weight", rows, Self.hidden)
      }
    }
    for (name, rows, columns) in [("gate", 96, 64), ("up", 96, 64), ("down", 64, 96)] {
      add("model.layers.0.mlp.\(name)_proj.weight", rows, columns)
    }
    add("model.layers.1.mlp.gate.weight", Self.experts, Self.hidden, as: "F32")
    for expert in 0..<Self.experts {
      let prefix = "model.layers.1.mlp.experts.\(expert)."
      add(prefix + "gate_proj.weight", Self.inner, Self.hidden)
      add(prefix + "up_proj.weight", Self.inner, Self.hidden)
      add(prefix + "down_proj.weight", Self.hidden, Self.inner)
    }
    add("model.norm.weight", Self.hidden)
    add("lm_head.weight", 40, Self.hidden)
  }

  func tensor(_ name: String) -> TestTensor? { tensors.first { $0.name == name } }

  @discardableResult
  func write(to directory: TemporaryDirectory, _ name: String) throws -> String {
    try FileSystem.createDirectory(directory.file(name))
    try directory.write(JSONValue.object(config).serialized(), to: name + "/config.json")
    try directory.write(CheckpointBytes.safetensors(tensors), to: name + "/model.safetensors")
    return directory.file(name)
  }
}
