import Checkpoints
import Support
import TestSupport

/// Tensors of one safetensors file, read through the checkpoint reader.
struct SafetensorsFile {
  private let checkpoint: Checkpoint
  private let directory: TemporaryDirectory

  /// The reader takes directories: a lone file gets one of its own.
  init(_ path: String) throws {
    directory = try TemporaryDirectory("safetensors")
    try directory.write(try FileSystem.readBytes(path), to: "model.safetensors")
    try directory.write("{}", to: "config.json")
    checkpoint = try Checkpoint.open(directory.path)
  }

  var names: [String] { checkpoint.tensorNames }

  func shape(_ name: String) -> [Int]? { checkpoint.tensors[name]?.shape }
  func type(_ name: String) -> ElementType? { checkpoint.tensors[name]?.type }

  /// The values of a tensor of 4-byte elements.
  func values<Value: BitwiseCopyable>(_ name: String, as type: Value.Type) throws -> [Value] {
    guard let tensor = checkpoint.tensors[name] else {
      throw Failure(.notFound, name, "no such tensor")
    }
    var failure: Failure?
    let values = [Value](unsafeUninitializedCapacity: tensor.elementCount) { buffer, count in
      do throws(Failure) {
        try checkpoint.read(
          tensor, bytes: 0..<tensor.byteCount, into: UnsafeMutableRawBufferPointer(buffer))
        count = tensor.elementCount
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return values
  }
}
