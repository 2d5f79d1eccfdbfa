import Support
import TestSupport
import Testing

@testable import Checkpoints

/// Opens a Hugging Face directory made around one file's bytes; the files are gone afterwards,
/// their descriptors are not.
func openSafetensors(_ bytes: [UInt8]) throws -> Checkpoint {
  let directory = try TemporaryDirectory("safetensors")
  try directory.write("{}", to: "config.json")
  try directory.write(bytes, to: "model.safetensors")
  return try Checkpoint.open(directory.path)
}

func openGGUF(_ bytes: [UInt8]) throws -> Checkpoint {
  let directory = try TemporaryDirectory("gguf")
  return try Checkpoint.open(try directory.write(bytes, to: "model.gguf"))
}

/// What every opened checkpoint promises, whatever its files say: reading any tensor stays in
/// its file, and no two tensors share a byte.
func checkPromises(_ checkpoint: Checkpoint) throws {
  var taken: [(file: Int, start: Int, end: Int)] = []
  for (name, tensor) in checkpoint.tensors {
    try require(name == tensor.name)
    try require(tensor.byteCount == tensor.type.byteCount(shape: tensor.shape))
    _ = try readAll(checkpoint, name)
    if tensor.byteCount > 0 {
      taken.append((tensor.file, tensor.offset, tensor.offset + tensor.byteCount))
    }
  }
  taken.sort { ($0.file, $0.start) < ($1.file, $1.start) }
  for (left, right) in zip(taken, taken.dropFirst()) where left.file == right.file {
    try require(left.end <= right.start)
  }
}

/// A broken promise, told apart from the `Failure` of a reader that refuses its input.
struct BrokenPromise: Error {
  let line: Int
}

func require(_ condition: Bool, line: Int = #line) throws(BrokenPromise) {
  if !condition { throw BrokenPromise(line: line) }
}

func readAll(_ checkpoint: Checkpoint, _ name: String) throws -> [UInt8] {
  let tensor = try #require(checkpoint.tensors[name])
  var bytes = [UInt8](repeating: 0xEE, count: tensor.byteCount)
  try bytes.withUnsafeMutableBytes {
    try checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
  }
  return bytes
}
