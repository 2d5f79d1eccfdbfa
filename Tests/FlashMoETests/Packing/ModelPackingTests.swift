import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

@Suite struct ModelPackingTests {
  private let directory: TemporaryDirectory
  private let exact = PackingOptions(experts: .keep, residents: .keep)

  init() throws { directory = try TemporaryDirectory("packing") }

  private func pack(_ source: String, _ options: PackingOptions, as name: String = "a.fmoe") throws
    -> (StoreContents, PackResult)
  {
    let plan = try ModelPacking.plan(checkpoint: try Checkpoint.open(source), options: options)
    let result = try Packer.pack(plan, to: directory.file(name))
    return (try StoreContents(directory.file(name)), result)
  }

  private func values(_ model: TestModel, _ name: String) throws -> [Float] {
    let tensor = try #require(model.tensor(name))
    return (0..<tensor.shape.reduce(1, *)).map { tensor.value($0) }
  }

  /// 16 rows of gate, 16 of up, and so on.
  private func paired(_ gate: [Float], _ up: [Float], columns: Int) -> [Float] {
    var result: [Float] = []
    for start in stride(from: 0, to: gate.count, by: 16 * columns) {
      result += gate[start..<start + 16 * columns] + up[start..<start + 16 * columns]
    }
    return result
  }

  @Test(arguments: ["F32", "F16", "BF16"])
  func everyTensorArrivesExactly(type: String) throws {
    let model = TestModel(type: type)
    let (contents, result) = try pack(try model.write(to: directory, "model"), exact)
    #expect(result.errors.allSatisfy { $0.exactWeights == $0.weights })
    var seen = 0
    for tensor in contents.store.manifest.residents where !tensor.name.contains("gate_up") {
      #expect(try contents.resident(tensor.name) == values(model, tensor.name), "\(tensor.name)")
      seen += 1
    }
    #expect(seen == 21)
    let mlp = "model.layers.0.mlp."
    #expect(
      try contents.resident(mlp + "gate_up.weight")
        == paired(
          values(model, mlp + "gate_proj.weight"), values(model, mlp + "up_proj.weight"),
          columns: 64))
    for expert in 0..<TestModel.experts {
      let prefix = "model.layers.1.mlp.experts.\(expert)."
      #expect(
        try contents.section("gate_up", expert: expert)
          == paired(
            values(model, prefix + "gate_proj.weight"), values(model, prefix + "up_proj.weight"),
            columns: 64))
      #expect(
        try contents.section("down", expert: expert) == values(model, prefix + "down_proj.weight"))
    }
    #expect(contents.store.manifest.layers.map(\.layer) == [1])
    #expect(contents.store.manifest.name == "model")
    // No tokenizer is worth a warning, not a failure.
    #expect(result.warnings.count == 1 && result.warnings[0].contains("tokenizer.json"))
  }

  @Test func schemesFollowRolesAndOverrides() throws {
    let source = try TestModel().write(to: directory, "model")
    let query = "model.layers.0.self_attn.q_proj.weight"
    let router = "model.layers.1.mlp.gate.weight"
    let (standard, _) = try pack(source, PackingOptions(), as: "standard.fmoe")
    #expect(standard.scheme(query) == .q8 && standard.scheme("lm_head.weight") == .q8)
    #expect(standard.scheme(router) == .f32)
    #expect(standard.sectionScheme("gate_up") == .q4 && standard.sectionScheme("down") == .q4)

    let overrides = [
      "*.down=q8", "lm_head*=bf16", "model.layers.0.*=f16", "*q_proj*=q4a", "\(router)=q8",
    ]
    let options = PackingOptions(
      experts: .scheme(.q4a), residents: .scheme(.q4),
      overrides: try overrides.map { try SchemeOverride(parsing: $0) })
    let (custom, _) = try pack(source, options, as: "custom.fmoe")
    #expect(custom.sectionScheme("gate_up") == .q4a && custom.sectionScheme("down") == .q8)
    #expect(custom.scheme("lm_head.weight") == .bf16)
    #expect(custom.scheme("model.layers.0.self_attn.k_proj.weight") == .f16)
    #expect(custom.scheme(query) == .q4a && custom.scheme(router) == .q8)
    #expect(custom.scheme("model.layers.1.self_attn.k_proj.weight") == .q4)
    // Vectors stay f32 whatever is asked for.
    #expect(custom.scheme("model.layers.0.input_layernorm.weight") == nil)

    let unused = PackingOptions(overrides: [SchemeOverride(pattern: "*.dwon", choice: .keep)])
    let failure = #expect(throws: Failure.self) { try pack(source, unused, as: "unused.fmoe") }
    #expect(failure?.kind == .usage && failure?.place == "\"*.dwon\"")
    for bad in ["q8", "=q8", "*.down=", "*.down=q7"] {
      #expect(throws: Failure.self) { try SchemeOverride(parsing: bad) }
    }
    #expect(try SchemeChoice(parsing: "NONE") == .keep)
    #expect(try SchemeChoice(parsing: "Q4_0") == .scheme(.q4))
  }

  @Test func wrongCheckpointsAreRefusedBeforeAnyWork() throws {
    func refused(_ kind: Failure.Kind, _ words: String..., change: (inout TestModel) throws -> Void)
      throws
    {
      var model = TestModel()
      try change(&model)
      let source = try model.write(to: directory, "bad")
      let checkpoint = try Checkpoint.open(source)
      let failure = #expect(throws: Failure.self) { try ModelPacking.plan(checkpoint: checkpoint) }
      #expect(failure?.kind == kind)
      for word in words { #expect(failure?.description.contains(word) == true, "\(word)") }
      #expect(failure?.remedy != nil)
    }
    let down = "model.layers.1.mlp.experts.3.down_proj.weight"
    try refused(.notFound, down, "[64, 32]") { $0.tensors.removeAll { $0.name == down } }
    try refused(.mismatch, down, "[32, 64]", "[64, 32]", "model.safetensors") { model in
      let at = try #require(model.tensors.firstIndex { $0.name == down })
      model.tensors[at].shape = [32, 64]
    }
    try refused(.mismatch, "model.norm.weight", "[64]") { model in
      let at = try #require(model.tensors.firstIndex { $0.name == "model.norm.weight" })
      model.tensors[at].shape = [32]
      model.tensors[at].bytes.removeLast(64)
    }
    try refused(.unsupported, down, "f8e5m2") { model in
      var random = SeededRandom(seed: 1)
      let at = try #require(model.tensors.firstIndex { $0.name == down })
      model.tensors[at] = TestTensor(down, "F8_E5M2", [64, 32], &random)
    }
    var model = TestModel()
    model.config["model_type"] = .string("mystery")
    let checkpoint = try Checkpoint.open(try model.write(to: directory, "bad"))
    let failure = #expect(throws: Failure.self) { try ModelPacking.plan(checkpoint: checkpoint) }
    #expect(failure?.kind == .unsupported && failure?.problem.contains("mystery") == true)
  }

  @Test func tiedHeadsAndStrangersAreToldOf() throws {
    var model = TestModel()
    model.config["tie_word_embeddings"] = .bool(true)
    var random = SeededRandom(seed: 1)
    model.tensors.append(TestTensor("vision.patch", "BF16", [4, 4], &random))
    let (contents, result) = try pack(try model.write(to: directory, "tied"), exact)
    #expect(contents.scheme("lm_head.weight") == nil)
    let text = result.warnings.joined(separator: "\n")
    #expect(text.contains("lm_head.weight") && text.contains("vision.patch"))
  }

  @Test func companionsTravelAndTemplatesAreExtracted() throws {
    let source = try TestModel().write(to: directory, "model")
    try directory.write("{\"x\": 1}", to: "model/tokenizer.json")
    try directory.write("{\"chat_template\": \"a\\nb\"}", to: "model/tokenizer_config.json")
    let (first, _) = try pack(source, exact, as: "1.fmoe")
    #expect(try first.store.companion("tokenizer.json") == Array("{\"x\": 1}".utf8))
    #expect(try first.store.companion("chat_template.jinja") == Array("a\nb".utf8))
    // A file of its own wins.
    try directory.write("own", to: "model/chat_template.jinja")
    let (second, _) = try pack(source, exact, as: "2.fmoe")
    #expect(try second.store.companion("chat_template.jinja") == Array("own".utf8))
    try FileSystem.remove(source + "/chat_template.jinja")
    try directory.write(
      "{\"chat_template\": [{\"name\": \"tool\", \"template\": \"t\"},"
        + " {\"name\": \"default\", \"template\": \"d\"}]}", to: "model/tokenizer_config.json")
    let (third, _) = try pack(source, exact, as: "3.fmoe")
    #expect(try third.store.companion("chat_template.jinja") == Array("d".utf8))
  }

  /// The oracle checkpoint, sharded and in both spellings of its configuration.
  @Test func bothSpellingsGiveTheSameWeights() throws {
    let fixture = Fixtures.path("oracle/qwen3_moe")
    var checksums: [[Checksum]] = []
    for later in [false, true] {
      let store = try OracleStore.pack(
        fixture, in: directory, options: PackingOptions(), laterSpelling: later)
      #expect(try Verification.verify(store.path).isSound)
      checksums.append(
        store.manifest.residents.map(\.checksum) + store.manifest.layers.flatMap(\.checksums))
    }
    #expect(checksums[0] == checksums[1] && checksums[0].count > 36)
  }
}
