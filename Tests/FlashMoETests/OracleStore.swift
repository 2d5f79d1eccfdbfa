import Checkpoints
import FlashMoE
import Support
import TestSupport
import WeightStore

/// What `transformers` answered for a checkpoint: a plain safetensors file.
struct ExpectedTensors {
  private let header: JSONValue
  private let bytes: [UInt8]
  private let dataStart: Int

  init(_ path: String) throws {
    bytes = try FileSystem.readBytes(path)
    let length = bytes[0..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    dataStart = 8 + length
    header = try JSONValue.parse(Array(bytes[8..<dataStart]), subject: path)
  }

  var names: [String] { header.object?.keys ?? [] }

  private func values<Element>(_ name: String, _ type: Element.Type) throws -> [Element] {
    guard let offsets = header[name]?["data_offsets"]?.array?.compactMap(\.integer) else {
      throw Failure(.notFound, name, "not among the expected tensors")
    }
    return bytes[dataStart + offsets[0]..<dataStart + offsets[1]].withUnsafeBytes { raw in
      (0..<raw.count / MemoryLayout<Element>.size).map {
        raw.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: type)
      }
    }
  }

  func floats(_ name: String) throws -> [Float] { try values(name, Float.self) }
  func integers(_ name: String) throws -> [Int32] { try values(name, Int32.self) }
  func shape(_ name: String) -> [Int] { header[name]?["shape"]?.array?.compactMap(\.integer) ?? [] }
}

/// Packs fixtures into stores that live as long as their directory.
enum OracleStore {
  /// Every checkpoint among the fixtures.
  static let fixtures: [String] =
    ((try? FileSystem.list(Fixtures.path("oracle"))) ?? []).sorted()
  /// Checkpoints of each family: the usual one and one of odd sizes.
  static let families: [String] = fixtures.filter {
    !$0.hasPrefix("qwen3_moe_") || $0.hasSuffix("_odd")
  }

  /// Packs a checkpoint, in its transformers 5 spelling when asked.
  static func pack(
    _ checkpoint: String, in directory: TemporaryDirectory, options: PackingOptions,
    laterSpelling: Bool = false
  ) throws -> Store {
    var source = checkpoint
    if laterSpelling {
      source = directory.file("later")
      try FileSystem.createDirectory(source)
      for name in try FileSystem.list(checkpoint) where name != "config.json" {
        let target = name == "config.v5.json" ? "config.json" : name
        try directory.write(
          try FileSystem.readBytes(checkpoint + "/" + name), to: "later/" + target)
      }
    }
    let output = directory.file("store-\(UInt32.random(in: 0...UInt32.max)).fmoe")
    let plan = try ModelPacking.plan(checkpoint: try Checkpoint.open(source), options: options)
    _ = try Packer.pack(plan, to: output)
    return try Store(opening: output)
  }

  /// `--scheme none`: the source's bits everywhere.
  static var exact: PackingOptions {
    get throws {
      PackingOptions(
        experts: try SchemeChoice(parsing: "none"), residents: try SchemeChoice(parsing: "none"))
    }
  }
}
