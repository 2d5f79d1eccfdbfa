import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

@Suite struct GGUFPackingTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("gguf") }

  private func tensors(up: String = "Q4_0", router: String = "F32") -> [TestTensor] {
    var random = SeededRandom(seed: 9)
    var tensors: [TestTensor] = []
    func add(_ name: String, _ type: String, _ shape: Int...) {
      tensors.append(TestTensor(name + ".weight", type, shape, &random))
    }
    add("token_embd", "Q8_0", 40, 64)
    add("blk.0.attn_norm", "F32", 64)
    add("blk.0.attn_q", "Q4_0", 64, 64)
    add("blk.0.attn_k", "F16", 32, 64)
    add("blk.0.attn_v", "Q8_0", 32, 64)
    add("blk.0.attn_output", "Q4_0", 64, 64)
    add("blk.0.attn_q_norm", "F32", 16)
    add("blk.0.attn_k_norm", "F32", 16)
    add("blk.0.ffn_norm", "F32", 64)
    add("blk.0.ffn_gate_inp", router, 4, 64)
    add("blk.0.ffn_gate_exps", "Q4_0", 4, 32, 64)
    add("blk.0.ffn_up_exps", up, 4, 32, 64)
    add("blk.0.ffn_down_exps", "Q8_0", 4, 64, 32)
    add("output_norm", "F32", 64)
    return tensors
  }

  private let metadata: [(String, JSONValue)] = [
    ("general.architecture", .string("qwen3moe")),
    ("qwen3moe.block_count", .integer(1)), ("qwen3moe.context_length", .integer(512)),
    ("qwen3moe.embedding_length", .integer(64)), ("qwen3moe.attention.head_count", .integer(4)),
    ("qwen3moe.attention.head_count_kv", .integer(2)),
    ("qwen3moe.attention.key_length", .integer(16)),
    ("qwen3moe.expert_count", .integer(4)), ("qwen3moe.expert_used_count", .integer(2)),
    ("qwen3moe.expert_feed_forward_length", .integer(32)),
    ("tokenizer.chat_template", .string("{{ messages }}")),
  ]

  private func pack(_ tensors: [TestTensor], _ options: PackingOptions, as name: String) throws
    -> (StoreContents, PackResult)
  {
    try directory.write(CheckpointBytes.gguf(metadata, tensors), to: name + ".gguf")
    let checkpoint = try Checkpoint.open(directory.file(name + ".gguf"))
    let plan = try ModelPacking.plan(checkpoint: checkpoint, options: options)
    let result = try Packer.pack(plan, to: directory.file(name + ".fmoe"))
    return (try StoreContents(directory.file(name + ".fmoe")), result)
  }

  private func check(
    _ contents: StoreContents, _ tensors: [TestTensor], _ residents: [String: String]
  )
    throws
  {
    func slice(_ name: String, _ expert: Int) throws -> [Float] {
      let tensor = try #require(tensors.first { $0.name == "blk.0.\(name).weight" })
      let count = tensor.shape[1] * tensor.shape[2]
      return (expert * count..<(expert + 1) * count).map { tensor.value($0) }
    }
    for (stored, original) in residents {
      let tensor = try #require(tensors.first { $0.name == original })
      #expect(
        try contents.resident(stored) == (0..<tensor.shape.reduce(1, *)).map { tensor.value($0) })
    }
    for expert in 0..<4 {
      let (gate, up) = (try slice("ffn_gate_exps", expert), try slice("ffn_up_exps", expert))
      let half = 16 * 64
      #expect(
        try contents.section("gate_up", expert: expert)
          == Array(gate[..<half] + up[..<half] + gate[half...] + up[half...]))
      #expect(try contents.section("down", expert: expert) == slice("ffn_down_exps", expert))
    }
  }

  @Test func quantizedBitsAreKept() throws {
    let tensors = self.tensors()
    let (contents, result) = try pack(tensors, PackingOptions(), as: "a")
    try check(
      contents, tensors,
      [
        "model.embed_tokens.weight": "token_embd.weight",
        "model.layers.0.self_attn.q_proj.weight": "blk.0.attn_q.weight",
        "model.layers.0.self_attn.v_proj.weight": "blk.0.attn_v.weight",
        "model.layers.0.mlp.gate.weight": "blk.0.ffn_gate_inp.weight",
        "model.norm.weight": "output_norm.weight",
      ])
    #expect(contents.sectionScheme("gate_up") == .q4 && contents.sectionScheme("down") == .q8)
    #expect(contents.scheme("model.layers.0.self_attn.q_proj.weight") == .q4)
    // Floats among quantized tensors get the default.
    #expect(contents.scheme("model.layers.0.self_attn.k_proj.weight") == .q8)
    #expect(contents.store.manifest.name == "a")
    #expect(contents.store.manifest.config["tie_word_embeddings"]?.bool == true)
    #expect(try contents.store.companion("chat_template.jinja") == Array("{{ messages }}".utf8))
    #expect(
      result.errors.filter { $0.part == .experts }.allSatisfy { $0.exactWeights == $0.weights })
  }

  @Test func mixedFormatsShareTheSchemeThatHoldsBoth() throws {
    let tensors = self.tensors(up: "Q8_0", router: "Q4_0")
    let (contents, _) = try pack(tensors, PackingOptions(), as: "mixed")
    try check(contents, tensors, ["model.layers.0.mlp.gate.weight": "blk.0.ffn_gate_inp.weight"])
    #expect(contents.sectionScheme("gate_up") == .q8)
    // Routers never go below 8 bits.
    #expect(contents.scheme("model.layers.0.mlp.gate.weight") == .q8)
    let floats = self.tensors(up: "F16")
    let (wide, _) = try pack(floats, PackingOptions(experts: .keep, residents: .keep), as: "wide")
    try check(wide, floats, ["model.layers.0.self_attn.k_proj.weight": "blk.0.attn_k.weight"])
    #expect(wide.sectionScheme("gate_up") == .f32)
  }

  @Test func theVocabularyBecomesATokenizer() throws {
    var metadata = self.metadata
    metadata += [
      ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string("qwen2")),
      ("tokenizer.ggml.tokens", .array((0..<40).map { .string("t\($0)") })),
      ("tokenizer.ggml.merges", .array([.string("t 1")])),
    ]
    try directory.write(CheckpointBytes.gguf(metadata, tensors()), to: "v.gguf")
    let plan = try ModelPacking.plan(checkpoint: try Checkpoint.open(directory.file("v.gguf")))
    let tokenizer = try #require(plan.companions.first { $0.name == "tokenizer.json" })
    let json = try JSONValue.parse(tokenizer.bytes, subject: "tokenizer.json")
    #expect(json["model"]?["vocab"]?["t39"]?.integer == 39)
    #expect(!plan.warnings.contains { $0.contains("tokenizer") })
  }
}
