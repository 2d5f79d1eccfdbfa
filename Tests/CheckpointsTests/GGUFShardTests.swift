import Support
import TestSupport
import Testing

@testable import Checkpoints

/// A model in several GGUF files, as llama.cpp's gguf-split writes them.
@Suite struct GGUFShardTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("shards") }

  private func part(
    _ number: Int, of count: Int, tensors: [String], total: Int? = nil, extra: [[UInt8]] = []
  ) -> [UInt8] {
    GGUFBytes.with {
      $0.pairs += extra
      $0.pairs += [
        GGUFBytes.pair("split.no", 2, littleEndian(UInt16(number))),
        GGUFBytes.pair("split.count", 2, littleEndian(UInt16(count))),
      ]
      if let total {
        $0.pairs.append(GGUFBytes.pair("split.tensors.count", 5, littleEndian(Int32(total))))
      }
      $0.infos = tensors.enumerated().map { at, name in
        GGUFBytes.info(name, [8], 0, UInt64(32 * at))
      }
      $0.data = (0..<32 * tensors.count).map { UInt8(truncatingIfNeeded: $0 + 100 * number) }
    }
  }

  private func name(_ number: Int, of count: Int) -> String {
    "m-0000\(number)-of-0000\(count).gguf"
  }

  private func write(_ parts: [[UInt8]]) throws {
    for (at, bytes) in parts.enumerated() {
      try directory.write(bytes, to: name(at + 1, of: parts.count))
    }
  }

  private var parts: [[UInt8]] {
    [
      part(
        0, of: 3, tensors: [], total: 3, extra: [GGUFBytes.pair("x", 4, littleEndian(UInt32(7)))]),
      part(1, of: 3, tensors: ["a", "b"], total: 3), part(2, of: 3, tensors: ["c"], total: 3),
    ]
  }

  @Test func allPartsAreOneModel() throws {
    try write(parts)
    for given in ["/" + name(1, of: 3), "/" + name(3, of: 3), ""] {
      let checkpoint = try Checkpoint.open(directory.path + given)
      #expect(checkpoint.tensorNames == ["a", "b", "c"])
      #expect(checkpoint.files == (1...3).map { directory.file(name($0, of: 3)) })
      #expect(checkpoint.path == checkpoint.files[0])
      #expect(checkpoint.metadata["x"] == .integer(7))
      #expect(try readAll(checkpoint, "b") == (132..<164).map { UInt8($0) })
      #expect(try readAll(checkpoint, "c") == (200..<232).map { UInt8($0) })
      try checkPromises(checkpoint)
    }
  }

  private func refused(_ kind: Failure.Kind, _ pieces: [String], _ change: () throws -> Void) throws
  {
    try write(parts)
    try change()
    #expect(
      complaint("", kind, pieces) { _ = try Checkpoint.open(directory.file(name(1, of: 3))) } == nil
    )
  }

  @Test func partsThatDoNotFitAreNamed() throws {
    try refused(.notFound, [name(2, of: 3), "part of 3 is missing"]) {
      try FileSystem.remove(directory.file(name(2, of: 3)))
    }
    try refused(.mismatch, [name(3, of: 3), "part 3 of 3"]) {
      try directory.write(part(1, of: 3, tensors: ["c"]), to: name(3, of: 3))
    }
    try refused(.mismatch, [name(2, of: 3), "part 2 of 3"]) {
      try directory.write(GGUFBytes.valid, to: name(2, of: 3))
    }
    try refused(.malformed, [name(3, of: 3), "tensor a", "twice", "part 2"]) {
      try directory.write(part(2, of: 3, tensors: ["a"]), to: name(3, of: 3))
    }
    try refused(.mismatch, ["split.tensors.count", "3 tensors", "have 4"]) {
      try directory.write(part(2, of: 3, tensors: ["c", "d"]), to: name(3, of: 3))
    }
    try refused(.malformed, [name(2, of: 3), "truncated"]) {
      try directory.write(
        Array(part(1, of: 3, tensors: ["a", "b"]).dropLast(9)), to: name(2, of: 3))
    }
    try directory.write(parts[1], to: "renamed.gguf")
    #expect(
      complaint("", .mismatch, ["renamed.gguf", "part 2", "-00002-of-00003.gguf"]) {
        _ = try Checkpoint.open(directory.file("renamed.gguf"))
      } == nil)
    #expect(
      complaint("", .usage, ["4 .gguf files"]) { _ = try Checkpoint.open(directory.path) } == nil)
  }
}
