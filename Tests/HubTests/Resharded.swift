import Checkpoints
import HubServer
import Support
import TestSupport

/// The tiny checkpoint with its tensors dealt to other shards.
struct Resharded {
  enum Deal: Sendable {
    /// Neighbours stay together, as published checkpoints have it.
    case contiguous
    /// Every tensor of an expert in another shard.
    case roundRobin
  }

  /// A directory that `pack` takes.
  let path: String
  let repository: HubServer.Repository

  init(_ count: Int, _ deal: Deal, in directory: TemporaryDirectory) throws {
    let checkpoint = try Checkpoint.open(TestHub.checkpoint)
    let tensors = checkpoint.tensors.values.sorted { ($0.file, $0.offset) < ($1.file, $1.offset) }
    var shards: [[TensorDescription]] = Array(repeating: [], count: count)
    for (at, tensor) in tensors.enumerated() {
      shards[deal == .contiguous ? at * count / tensors.count : at % count].append(tensor)
    }
    // The directory's name becomes the store's.
    let name = FileSystem.name(of: TestHub.name)
    try FileSystem.createDirectory(directory.file("source"))
    try FileSystem.createDirectory(directory.file("source/" + name))
    var map = JSONObject()
    for (at, shard) in shards.enumerated() {
      let file = "model-\(100 + at)-of-\(100 + count).safetensors"
      for tensor in shard { map[tensor.name] = .string(file) }
      try directory.write(try Self.bytes(shard, checkpoint), to: "source/\(name)/\(file)")
    }
    let index: JSONValue = .object(["weight_map": .object(map)])
    try directory.write(index.serialized(), to: "source/\(name)/model.safetensors.index.json")
    for file in [
      "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    ] {
      try directory.write(
        try FileSystem.readBytes(TestHub.checkpoint + "/" + file), to: "source/\(name)/\(file)")
    }
    path = directory.file("source/" + name)
    repository = try HubServer.Repository(directory: path)
  }

  private static func bytes(_ tensors: [TensorDescription], _ checkpoint: Checkpoint) throws
    -> [UInt8]
  {
    var header = JSONObject()
    var data: [UInt8] = []
    for tensor in tensors {
      header[tensor.name] = .object([
        "dtype": .string(tensor.type.rawValue.uppercased()),
        "shape": .array(tensor.shape.map { .integer($0) }),
        "data_offsets": .array([.integer(data.count), .integer(data.count + tensor.byteCount)]),
      ])
      var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
      try bytes.withUnsafeMutableBytes {
        try checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
      }
      data += bytes
    }
    let text = Array(JSONValue.object(header).serialized().utf8)
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> ($0 * 8)) } + text + data
  }
}
