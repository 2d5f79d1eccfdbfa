/// GGUF headers that lie, each in one way, and what the error must say.
enum HostileGGUF {
  typealias Case = (label: String, bytes: [UInt8], pieces: [String])
  private typealias G = GGUFBytes

  static let cases: [Case] = file + pairs + infos + types

  private static let file: [Case] = [
    ("empty", [], ["ends inside the header"]),
    ("other magic", G.with { $0.magic = Array("GGML".utf8) }, ["not a GGUF"]),
    ("version 1", G.with { $0.version = 1 }, ["version 1", "Convert"]),
    ("version 4", G.with { $0.version = 4 }, ["version 4"]),
    ("version 0", G.with { $0.version = 0 }, ["version 0"]),
    ("big-endian", G.with { $0.version = 3 << 24 }, ["big-endian"]),
    ("tensor count", G.with { $0.tensorCount = .max }, ["tensors cannot be"]),
    ("tensor count a bit off", G.with { $0.tensorCount = 4 }, ["tensor info 3"]),
    ("pair count", G.with { $0.pairCount = 1 << 62 }, ["key/value pairs cannot be"]),
    ("pair count a bit off", G.with { $0.pairCount = 2 }, ["byte"]),
  ]

  private static func pair(_ key: String, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
    G.with { $0.pairs.append(G.pair(key, type, value)) }
  }

  private static let pairs: [Case] = [
    ("key twice", pair("general.architecture", 0, [1]), ["general.architecture", "twice"]),
    ("empty key", pair("", 0, [1]), ["empty key"]),
    ("long key", pair(String(repeating: "k", count: 70_000), 0, [1]), ["70000"]),
    ("unknown type", pair("k", 13, [1]), ["key k", "value type 13"]),
    ("truth of 2", pair("k", 7, [2]), ["key k", "truth value of 2"]),
    (
      "string beyond the file", pair("k", 8, littleEndian(UInt64(1) << 40)), ["key k", "cannot be"]
    ),
    ("string of all ones", pair("k", 8, littleEndian(UInt64.max)), ["key k", "cannot be"]),
    (
      "string not UTF-8", pair("k", 8, littleEndian(UInt64(2)) + [0xC3, 0x28]), ["key k", "UTF-8"]
    ),
    (
      "array beyond the file", pair("k", 9, G.array(0, count: 1 << 40, [])), ["key k", "cannot be"]
    ),
    ("strings beyond the file", pair("k", 9, G.array(8, count: 60, [])), ["key k", "cannot be"]),
    (
      "array of arrays", pair("k", 9, G.array(9, count: 1, G.array(0, count: 1, [1]))),
      ["key k", "arrays of arrays"]
    ),
    (
      "array of unknown type", pair("k", 9, G.array(99, count: 1, [1])), ["key k", "value type 99"]
    ),
    (
      "too many elements",
      G.with {
        $0.pairs.append(
          G.pair("k", 9, G.array(0, count: 3 << 20, Array(repeating: 1, count: 3 << 20))))
        $0.pairs.append(
          G.pair("l", 9, G.array(0, count: 3 << 20, Array(repeating: 1, count: 3 << 20))))
      }, ["key l", "array elements"]
    ),
    ("alignment 0", pair("general.alignment", 4, littleEndian(UInt32(0))), ["general.alignment"]),
    ("alignment 48", pair("general.alignment", 4, littleEndian(UInt32(48))), ["general.alignment"]),
    (
      "alignment 128 KiB", pair("general.alignment", 4, littleEndian(UInt32(1 << 17))),
      ["general.alignment"]
    ),
    ("alignment a string", pair("general.alignment", 8, G.string("32")), ["general.alignment"]),
    (
      "split without number", pair("split.count", 2, littleEndian(UInt16(3))),
      ["split.no", "missing", "split of 3"]
    ),
    ("split a string", pair("split.count", 8, G.string("3")), ["split.count"]),
  ]

  private static func info(
    _ name: String, _ dimensions: [UInt64], _ type: UInt32, _ offset: UInt64, rank: UInt32? = nil
  ) -> [UInt8] {
    G.with { $0.infos[2] = G.info(name, dimensions, type, offset, rank: rank) }
  }

  private static let infos: [Case] = [
    ("name twice", info("a", [5], 1, 96), ["tensor a", "twice"]),
    ("empty name", info("", [5], 1, 96), ["empty tensor name"]),
    ("long name", info(String(repeating: "n", count: 65), [5], 1, 96), ["65 bytes"]),
    ("five dimensions", info("c", [5, 1, 1, 1, 1], 1, 96), ["tensor c", "5 dimensions"]),
    ("rank of all ones", info("c", [5], 1, 96, rank: .max), ["tensor c", "dimensions"]),
    ("dimension 0", info("c", [0], 1, 96), ["tensor c", "dimension of 0"]),
    (
      "dimension of all ones", info("c", [.max], 1, 96),
      ["tensor c", "dimension of 18446744073709551615"]
    ),
    ("product overflows", info("c", [1 << 32, 1 << 32], 1, 96), ["tensor c", "overflows"]),
    ("bytes overflow", info("c", [1 << 62], 1, 96), ["tensor c", "overflows"]),
    ("row of 31", info("c", [31], 8, 96), ["tensor c", "rows of 31", "blocks of 32"]),
    ("columns whole, rows not", info("c", [16, 2], 2, 96), ["tensor c", "rows of 16"]),
    ("quantized scalar", info("c", [], 8, 96), ["tensor c", "blocks of 32"]),
    ("offset unaligned", info("c", [5], 1, 97), ["tensor c", "multiple of 32"]),
    ("offset of all ones", info("c", [5], 1, .max), ["tensor c", "multiple of 32"]),
    ("offset that overflows", info("c", [5], 1, UInt64(Int.max) - 31), ["tensor c", "overflows"]),
    ("end that overflows", info("c", [1 << 61], 1, 1 << 62), ["tensor c", "overflows"]),
    ("behind the file", info("c", [5], 1, 128), ["tensor c", "truncated", "32 bytes are missing"]),
    (
      "cut off", info("c", [8], 1, 96),
      ["tensor c", "10 of the tensor's 16", "6 bytes are missing"]
    ),
    ("overlap", info("c", [5], 1, 64), ["tensor c", "overlaps tensor b.weight"]),
    ("the same bytes", info("c", [4, 2], 0, 0), ["overlaps"]),
  ]

  private static let types: [Case] =
    [
      (9, "Q8_1"), (16, "IQ2_XXS"), (19, "IQ1_S"), (21, "IQ3_S"), (34, "TQ1_0"), (40, "NVFP4"),
    ].map { number, name in
      (
        name, info("c", [256], number, 96),
        ["tensor c", "\(name) is not supported", "safetensors"]
      )
    } + [("type 99", info("c", [256], 99, 96), ["tensor c", "type 99"])]
}
