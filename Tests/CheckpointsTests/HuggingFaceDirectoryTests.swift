import Support
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct HuggingFaceDirectoryTests {
  private static func shard(_ names: [String]) -> [UInt8] {
    let members = names.enumerated().map { at, name in
      #""\#(name)":{"dtype":"U8","shape":[2],"data_offsets":[\#(2 * at),\#(2 * at + 2)]}"#
    }
    return SafetensorsBytes.file(
      "{\(members.joined(separator: ","))}",
      data: names.flatMap { name in Array(repeating: name.utf8.first ?? 0, count: 2) })
  }

  private static let goodIndex = """
    {"metadata":{"total_size":6},
     "weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"}}
    """

  /// Two shards: `one` holds a and b, `two` holds c.
  private static func sharded(index: String = goodIndex) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory("sharded")
    try directory.write("{}", to: "config.json")
    try directory.write(shard(["a", "b"]), to: "one.safetensors")
    try directory.write(shard(["c"]), to: "two.safetensors")
    try directory.write(index, to: "model.safetensors.index.json")
    return directory
  }

  @Test func readsShards() throws {
    let directory = try Self.sharded()
    let checkpoint = try Checkpoint.open(directory.path)
    #expect(checkpoint.files.map(FileSystem.name) == ["one.safetensors", "two.safetensors"])
    #expect(checkpoint.tensors["c"]?.file == 1)
    #expect(try readAll(checkpoint, "b") == Array("bb".utf8))
    #expect(try readAll(checkpoint, "c") == Array("cc".utf8))
    checkpoint.dropCache()
    #expect(try readAll(checkpoint, "c") == Array("cc".utf8))
  }

  @Test func takesUnlistedTensorsOfListedShards() throws {
    let directory = try Self.sharded(
      index: #"{"weight_map":{"a":"one.safetensors","c":"two.safetensors"}}"#)
    #expect(try Checkpoint.open(directory.path).tensorNames == ["a", "b", "c"])
  }

  @Test func theSingleFileWins() throws {
    let directory = try Self.sharded()
    try directory.write(Self.shard(["z"]), to: "model.safetensors")
    #expect(try Checkpoint.open(directory.path).tensorNames == ["z"])
  }

  @Test(arguments: [
    ("[]", ["weight_map"]),
    ("{}", ["weight_map"]),
    (#"{"weight_map":{}}"#, ["weight_map"]),
    (#"{"weight_map":{"a":1}}"#, ["tensor a", "not a string"]),
    (#"{"weight_map":{"a":"../one.safetensors"}}"#, ["tensor a", "plain file name"]),
    (#"{"weight_map":{"a":"/etc/passwd"}}"#, ["tensor a", "plain file name"]),
    (#"{"weight_map":{"a":".."}}"#, ["tensor a", "plain file name"]),
    (#"{"weight_map":{"a":""}}"#, ["tensor a", "plain file name"]),
    (#"{"weight_map":{"a":"one.safetensors\u0000"}}"#, ["tensor a", "plain file name"]),
    (#"{"weight_map":{"a":"config.json"}}"#, ["tensor a", "config.json"]),
    (#"{"weight_map":{"a":"three.safetensors"}}"#, ["three.safetensors", "missing", "Download"]),
    (
      #"{"weight_map":{"a":"two.safetensors","b":"one.safetensors"}}"#,
      ["tensor a", "two.safetensors", "one.safetensors does"]
    ),
    (#"{"weight_map":{"x":"one.safetensors"}}"#, ["tensor x", "does not hold it"]),
    (#"{"weight_map":{"a":"one.safetensors","a":"one.safetensors"}}"#, ["twice"]),
  ])
  func refusesTheIndex(index: String, pieces: [String]) throws {
    let directory = try Self.sharded(index: index)
    #expect(complaint(index, nil, pieces) { _ = try Checkpoint.open(directory.path) } == nil)
  }

  @Test func refusesATensorInTwoShards() throws {
    let directory = try Self.sharded()
    try directory.write(Self.shard(["c", "a"]), to: "two.safetensors")
    let pieces = ["tensor a", "twice", "one.safetensors"]
    #expect(complaint("", .malformed, pieces) { _ = try Checkpoint.open(directory.path) } == nil)
  }

  @Test func namesTheTruncatedShard() throws {
    let directory = try Self.sharded()
    try directory.write(Array(Self.shard(["a", "b"]).dropLast()), to: "one.safetensors")
    let pieces = ["one.safetensors", "tensor b", "1 bytes are missing", "again"]
    #expect(complaint("", .malformed, pieces) { _ = try Checkpoint.open(directory.path) } == nil)
  }

  private static func refusal(
    _ path: String, _ kind: Failure.Kind, _ pieces: [String]
  ) -> String? {
    complaint(path, kind, pieces) { _ = try Checkpoint.open(path) }
  }

  @Test func saysWhatToGiveInstead() throws {
    let directory = try Self.sharded()
    for name in ["config.json", "one.safetensors", "model.safetensors.index.json"] {
      let pieces = [name, "Give the directory: \(directory.path)"]
      #expect(Self.refusal(directory.file(name), .usage, pieces) == nil)
    }
    try directory.write("hello", to: "notes.txt")
    #expect(Self.refusal(directory.file("notes.txt"), .unsupported, ["notes.txt"]) == nil)
    #expect(Self.refusal("/nowhere", .notFound, ["/nowhere"]) == nil)
    #expect(Self.refusal("", .usage, ["empty"]) == nil)
  }

  @Test func saysWhatADirectoryLacks() throws {
    let bare = try TemporaryDirectory("bare")
    #expect(Self.refusal(bare.path, .notFound, ["config.json"]) == nil)
    try bare.write("{}", to: "manifest.json")
    #expect(Self.refusal(bare.path, .unsupported, ["packed store"]) == nil)
    try bare.write("{}", to: "config.json")
    #expect(Self.refusal(bare.path, .notFound, ["model.safetensors"]) == nil)
    try bare.write("", to: "pytorch_model.bin")
    #expect(Self.refusal(bare.path, .unsupported, ["pytorch_model.bin", "Convert"]) == nil)
    try bare.write("[]", to: "config.json")
    #expect(Self.refusal(bare.path, .malformed, ["config.json"]) == nil)
  }

  @Test func findsCompanions() throws {
    let directory = try Self.sharded()
    try directory.write("{}", to: "tokenizer.json")
    let checkpoint = try Checkpoint.open(directory.path)
    #expect(checkpoint.companion("tokenizer.json") == directory.file("tokenizer.json"))
    #expect(checkpoint.companion("chat_template.jinja") == nil)
    #expect(checkpoint.companion("../\(FileSystem.name(of: directory.path))/config.json") == nil)
    #expect(checkpoint.companion("..") == nil)
    #expect(checkpoint.companion("") == nil)
  }

  /// The count and checksum come from a plain Python reader of the same files: the exclusive or,
  /// over all tensors, of their bytes as digits of a number in base 31.
  @Test func readsTheOracleCheckpoint() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("oracle/qwen3_moe"))
    #expect(checkpoint.files.count == 4)
    #expect(checkpoint.config["model_type"]?.string == "qwen3_moe")
    #expect(checkpoint.totalTensorBytes == 694_016)
    let head = try #require(checkpoint.tensors["lm_head.weight"])
    #expect(head.shape == [384, 64] && head.type == .bf16 && head.file == 0)
    #expect(checkpoint.companion("tokenizer.json") != nil)
    #expect(checkpoint.metadata["format"]?.string == "pt")
    try checkPromises(checkpoint)
    var checksum: UInt64 = 0
    for name in checkpoint.tensorNames {
      checksum ^= try readAll(checkpoint, name).reduce(0) { $0 &* 31 &+ UInt64($1) }
    }
    #expect(checkpoint.tensors.count == 138)
    #expect(checksum == 17_792_570_674_475_085_966)
  }

  @Test func readsTheDemoModel() throws {
    guard let path = Fixtures.shared("demo-model") else { return }
    let checkpoint = try Checkpoint.open(path)
    #expect(checkpoint.files.count == 1)
    #expect(checkpoint.tensors.values.allSatisfy { $0.type == .bf16 })
    try checkPromises(checkpoint)
  }

  @Test func readsFromManyThreads() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("oracle/qwen3_moe"))
    let names = checkpoint.tensorNames
    let expected = try names.map { try readAll(checkpoint, $0) }
    try WorkerPool(threadCount: 4).run { thread in
      for at in names.indices where (at + thread) % 2 == 0 {
        #expect((try? readAll(checkpoint, names[at])) == expected[at])
      }
    }
  }
}
