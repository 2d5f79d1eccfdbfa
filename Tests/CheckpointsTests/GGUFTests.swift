import Support
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct GGUFTests {
  /// Files of the reference writer in Python, in both alignments.
  @Test(arguments: ["plain", "aligned"])
  func readsWhatTheReferenceWriterWrote(name: String) throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("gguf/\(name).gguf"))
    #expect(checkpoint.kind == .gguf)
    #expect(checkpoint.config == .object([:]))
    #expect(checkpoint.companion("\(name).json") == nil)
    let expected = try #require(
      try FileSystem.readJSON(Fixtures.path("gguf/\(name).json")).object)
    #expect(checkpoint.tensorNames == expected.keys.sorted())
    for (tensor, facts) in expected.members {
      let found = try #require(checkpoint.tensors[tensor])
      #expect(found.type.rawValue == facts["type"]?.string)
      #expect(found.shape == facts["shape"]?.array?.compactMap(\.integer))
      #expect(hexadecimal(try readAll(checkpoint, tensor)) == facts["bytes"]?.string)
    }
    try checkPromises(checkpoint)
  }

  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test func readsEveryKindOfValue() throws {
    let metadata = try Checkpoint.open(Fixtures.path("gguf/plain.gguf")).metadata
    let expected: [(String, JSONValue)] = [
      ("general.architecture", .string("qwen3moe")), ("general.name", .string("fixture")),
      ("test.u8", .integer(200)), ("test.i8", .integer(-100)), ("test.u16", .integer(60000)),
      ("test.i16", .integer(-30000)), ("test.u32", .integer(4_000_000_000)),
      ("test.i32", .integer(-2_000_000_000)), ("test.u64", .integer(1 << 40)),
      ("test.u64.large", .number(0x1p64 - 1024)), ("test.i64", .integer(-(1 << 40))),
      ("test.f32", .number(0.15625)), ("test.f64", .number(1e-300)), ("test.bool", .bool(true)),
      ("test.string", .string("naïve Ġtoken 🙂")),
      (
        "test.strings",
        .array(["", "a", "Ġb", String(repeating: "ü", count: 40)].map { .string($0) })
      ),
      ("test.integers", .array([.integer(1), .integer(-2), .integer(3)])),
      ("test.floats", .array([.number(0.5), .number(-0.25)])),
    ]
    for (key, value) in expected { #expect(metadata[key] == value, "\(key)") }
  }

  @Test(arguments: [2, 3] as [UInt32])
  func readsBothVersions(version: UInt32) throws {
    let checkpoint = try openGGUF(GGUFBytes.with { $0.version = version })
    #expect(checkpoint.tensorNames == ["a", "b.weight", "c"])
    #expect(checkpoint.tensors["a"]?.shape == [2, 4])
    #expect(checkpoint.tensors["b.weight"]?.shape == [1, 32])
    #expect(try readAll(checkpoint, "b.weight") == Array(32..<66))
    #expect(try readAll(checkpoint, "c") == Array(96..<106))
    try checkPromises(checkpoint)
  }

  @Test func takesScalarsOtherAlignmentsAndUndividedSplits() throws {
    let checkpoint = try openGGUF(
      GGUFBytes.with {
        $0.pairs += [
          GGUFBytes.pair("general.alignment", 4, littleEndian(UInt32(1024))),
          GGUFBytes.pair("split.count", 2, littleEndian(UInt16(1))),
        ]
        $0.infos = [GGUFBytes.info("s", [], 0, 0)]
        $0.alignment = 1024
        $0.data = [0, 0, 0x80, 0x3F]
      })
    #expect(checkpoint.tensors["s"]?.shape == [])
    #expect(checkpoint.tensors["s"]?.offset == 1024)
    #expect(try readAll(checkpoint, "s") == [0, 0, 0x80, 0x3F])
  }

  @Test func refusesEachLie() {
    for (label, bytes, pieces) in HostileGGUF.cases {
      #expect(complaint(label, nil, ["model.gguf"] + pieces) { _ = try openGGUF(bytes) } == nil)
    }
  }

  @Test func everyTruncationIsAnError() {
    for length in 0..<GGUFBytes.valid.count {
      #expect(
        complaint("\(length) bytes", .malformed, ["model.gguf"]) {
          _ = try openGGUF(Array(GGUFBytes.valid.prefix(length)))
        } == nil)
    }
  }

  /// A header many times larger than the reader's window, with strings across its borders.
  @Test func readsAVocabularyOfRealSize() throws {
    let count = 150_000
    var tokens: [UInt8] = []
    for at in 0..<count { tokens += GGUFBytes.string("token-\(at)-ü") }
    let long = String(repeating: "x", count: 1 << 20)
    let checkpoint = try openGGUF(
      GGUFBytes.with {
        $0.pairs.append(
          GGUFBytes.pair("tokens", 9, GGUFBytes.array(8, count: UInt64(count), tokens)))
        $0.pairs.append(GGUFBytes.pair("template", 8, GGUFBytes.string(long)))
      })
    let read = try #require(checkpoint.metadata["tokens"]?.array)
    #expect(read.count == count)
    #expect(read.indices.allSatisfy { read[$0] == .string("token-\($0)-ü") })
    #expect(checkpoint.metadata["template"] == .string(long))
    #expect(try readAll(checkpoint, "a") == Array(0..<32))
  }

  @Test func findsTheOneFileOfADirectory() throws {
    let directory = try TemporaryDirectory("gguf")
    try directory.write(GGUFBytes.valid, to: "m.gguf")
    #expect(try Checkpoint.open(directory.path).files == [directory.file("m.gguf")])
    try directory.write(GGUFBytes.valid, to: "blob")
    #expect(try Checkpoint.open(directory.file("blob")).kind == .gguf)
    try directory.write(GGUFBytes.valid, to: "n.gguf")
    #expect(
      complaint("", .usage, ["2 .gguf files", "m.gguf"]) {
        _ = try Checkpoint.open(directory.path)
      } == nil)
  }
}
