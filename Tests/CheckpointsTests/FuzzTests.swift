import Support
import TestSupport
import Testing

@testable import Checkpoints

/// Mutated checkpoints: a reader may refuse them, never crash, and what it accepts must be
/// readable in full.  `FLASHMOE_FUZZ_SECONDS` makes these run longer; see `tools/fuzz`.
@Suite(.serialized) struct FuzzTests {
  @Test func safetensors() throws {
    let seeds = [
      SafetensorsBytes.valid, SafetensorsBytes.file("{}"),
      SafetensorsBytes.one(#""dtype":"U8","shape":[2,2],"data_offsets":[0,4]"#, data: 4),
    ]
    let directory = try TemporaryDirectory("fuzz", inMemory: true)
    try directory.write("{}", to: "config.json")
    var fuzzer = Fuzzer(
      "safetensors", seeds: seeds,
      dictionary: [
        "\"dtype\":", "\"shape\":", "\"data_offsets\":", "\"__metadata__\":", "\"F32\"", "\"BF16\"",
        "{", "}", "[", "]", ",", "[0,0]", "\\u0000", "\"a\":",
      ])
    let outcome = try fuzzer.run(iterations: 6000) { bytes in
      // A flipped byte of the length fails early; most inputs get the right one, to go deeper.
      var bytes = bytes
      if let length = Self.headerLength(bytes), bytes.count % 4 != 0 {
        bytes.replaceSubrange(0..<8, with: littleEndian(UInt64(length)))
      }
      try directory.write(bytes, to: "model.safetensors")
      try checkPromises(try Checkpoint.open(directory.path))
    }
    #expect(outcome.accepted > 20 && outcome.refused > 1000)
  }

  /// Up to the last closing brace.
  private static func headerLength(_ bytes: [UInt8]) -> Int? {
    guard let brace = bytes.lastIndex(of: UInt8(ascii: "}")), brace >= 8 else { return nil }
    return brace - 7
  }

  @Test func gguf() throws {
    let seeds = [
      GGUFBytes.valid, GGUFBytes.with { $0.version = 2 },
      GGUFBytes.with {
        $0.pairs.append(
          GGUFBytes.pair(
            "t", 9, GGUFBytes.array(8, count: 2, GGUFBytes.string("x") + GGUFBytes.string("yz"))))
        $0.pairs.append(GGUFBytes.pair("general.alignment", 4, littleEndian(UInt32(64))))
        $0.alignment = 64
        $0.infos = [GGUFBytes.info("a", [4, 2], 0, 0), GGUFBytes.info("b", [32, 1], 2, 64)]
      },
      try FileSystem.readBytes(Fixtures.path("gguf/plain.gguf")),
    ]
    let directory = try TemporaryDirectory("fuzz", inMemory: true)
    var fuzzer = Fuzzer(
      "gguf", seeds: seeds, dictionary: ["GGUF", "general.alignment", "split.count", "a"])
    let outcome = try fuzzer.run(iterations: 6000) { bytes in
      try directory.write(bytes, to: "model.gguf")
      try checkPromises(try Checkpoint.open(directory.file("model.gguf")))
    }
    #expect(outcome.accepted > 100 && outcome.refused > 1000)
  }

  @Test func shardIndex() throws {
    let directory = try TemporaryDirectory("fuzz", inMemory: true)
    try directory.write("{}", to: "config.json")
    try directory.write(SafetensorsBytes.valid, to: "s.safetensors")
    let index =
      #"{"metadata":{"total_size":36},"weight_map":{"a":"s.safetensors","b.weight":"s.safetensors"}}"#
    var fuzzer = Fuzzer(
      "index", seeds: [Array(index.utf8)],
      dictionary: ["\"weight_map\"", "../", "/", "s.safetensors", "\\u0000", "{", "}", ":"])
    let outcome = try fuzzer.run(iterations: 2000) { bytes in
      try directory.write(bytes, to: ShardIndex.fileName)
      let checkpoint = try Checkpoint.open(directory.path)
      try require(checkpoint.files == [directory.file("s.safetensors")])
    }
    #expect(outcome.accepted > 10 && outcome.refused > 500)
  }
}
