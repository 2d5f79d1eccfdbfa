import Support
import TestSupport
import Testing

@testable import Checkpoints

@Suite struct SafetensorsTests {
  private static func open() throws -> (checkpoint: Checkpoint, directory: TemporaryDirectory) {
    let directory = try TemporaryDirectory("safetensors")
    try directory.write(#"{"model_type":"x"}"#, to: "config.json")
    try directory.write(SafetensorsBytes.valid, to: "model.safetensors")
    return (try Checkpoint.open(directory.path + "/"), directory)
  }

  @Test func readsScalarsAndEmptyTensors() throws {
    let (checkpoint, directory) = try Self.open()
    #expect(checkpoint.kind == .huggingFace)
    #expect(checkpoint.path == directory.path)
    #expect(checkpoint.files == [directory.path + "/model.safetensors"])
    #expect(checkpoint.config["model_type"]?.string == "x")
    #expect(checkpoint.metadata["format"]?.string == "pt")
    #expect(checkpoint.tensorNames == ["a", "b.weight", "empty", "scalar"])
    #expect(checkpoint.totalTensorBytes == 36)
    #expect(checkpoint.tensors["a"]?.shape == [2, 3])
    #expect(checkpoint.tensors["a"]?.type == .f32)
    #expect(checkpoint.tensors["a"]?.elementCount == 6)
    #expect(checkpoint.tensors["empty"]?.byteCount == 0)
    #expect(checkpoint.tensors["scalar"]?.shape == [])
    #expect(checkpoint.tensors["scalar"]?.elementCount == 1)
    #expect(try readAll(checkpoint, "a") == Array(0..<24))
    #expect(try readAll(checkpoint, "b.weight") == Array(24..<32))
    #expect(try readAll(checkpoint, "scalar") == Array(32..<36))
    try checkPromises(checkpoint)
  }

  @Test func readsRangesAndRefusesWrongOnes() throws {
    let (checkpoint, _) = try Self.open()
    let tensor = try #require(checkpoint.tensors["b.weight"])
    var bytes = [UInt8](repeating: 0, count: 3)
    func read(_ tensor: TensorDescription, _ range: Range<Int>) throws {
      try bytes.withUnsafeMutableBytes { try checkpoint.read(tensor, bytes: range, into: $0) }
    }
    try read(tensor, 2..<5)
    #expect(bytes == [26, 27, 28])
    for range in [6..<9, -1..<2, 0..<2, 0..<4] {
      #expect(complaint("\(range)", .mismatch, ["b.weight"]) { try read(tensor, range) } == nil)
    }
    let stranger = TensorDescription(
      name: "b.weight", type: .bf16, shape: [4], file: 7, offset: 0, byteCount: 8)
    #expect(complaint("", .mismatch, ["not in this"]) { try read(stranger, 0..<3) } == nil)
  }

  @Test func aFileThatShrinksAfterOpeningIsAnError() throws {
    let (checkpoint, directory) = try Self.open()
    try File(directory.file("model.safetensors"), .update).truncate(
      to: SafetensorsBytes.valid.count - 3)
    #expect(try readAll(checkpoint, "a") == Array(0..<24))
    let pieces = ["model.safetensors", "tensor scalar", "3 bytes too early"]
    #expect(complaint("", .io, pieces) { _ = try readAll(checkpoint, "scalar") } == nil)
  }

  @Test func headerPaddingAndOffsetOrderAreFree() throws {
    let header = """
      {"z":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
       "a":{"dtype":"BOOL","shape":[3],"data_offsets":[2,5]}}
      """
    let checkpoint = try openSafetensors(
      SafetensorsBytes.file(header + "      ", data: [1, 2, 3, 4, 5]))
    #expect(checkpoint.tensorNames == ["a", "z"])
    #expect(try readAll(checkpoint, "a") == [3, 4, 5])
    #expect(try openSafetensors(SafetensorsBytes.file("{}")).tensors.isEmpty)
  }

  @Test(arguments: [
    ("F64", ElementType.f64, 8), ("F32", .f32, 4), ("F16", .f16, 2), ("BF16", .bf16, 2),
    ("F8_E4M3", .f8e4m3, 1), ("F8_E5M2", .f8e5m2, 1), ("I64", .i64, 8), ("I32", .i32, 4),
    ("I16", .i16, 2), ("I8", .i8, 1), ("U64", .u64, 8), ("U32", .u32, 4), ("U16", .u16, 2),
    ("U8", .u8, 1), ("BOOL", .bool, 1),
  ])
  func knowsTheType(name: String, type: ElementType, bytes: Int) throws {
    let members = #""dtype":"\#(name)","shape":[3],"data_offsets":[0,\#(3 * bytes)]"#
    let checkpoint = try openSafetensors(SafetensorsBytes.one(members, data: 3 * bytes))
    #expect(checkpoint.tensors["t"]?.type == type)
  }

  @Test func refusesEachLie() {
    for (label, bytes, pieces) in HostileSafetensors.cases {
      #expect(
        complaint(label, nil, ["model.safetensors"] + pieces) {
          _ = try openSafetensors(bytes)
        } == nil)
    }
  }

  @Test func everyTruncationIsAnError() {
    for length in 0..<SafetensorsBytes.valid.count {
      #expect(
        complaint("\(length) bytes", .malformed, ["model.safetensors"]) {
          _ = try openSafetensors(Array(SafetensorsBytes.valid.prefix(length)))
        } == nil)
    }
  }

  /// Names that differ only by Unicode normalization would be one key of a Swift dictionary.
  @Test func namesThatLookTheSameAreRefusedRatherThanMerged() {
    let header =
      "{\"caf\u{E9}\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      + "\"cafe\u{301}\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}"
    #expect(
      complaint("", .malformed, ["twice"]) {
        _ = try openSafetensors(SafetensorsBytes.file(header, data: [1, 2]))
      } == nil)
  }
}
