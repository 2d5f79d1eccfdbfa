import Checkpoints
import Glibc
import Support

private let directory: String = {
  let path = "/dev/shm/flashmoe-fuzz-\(getpid())"
  mkdir(path, 0o755)
  writeAll(Array("{}".utf8), to: path + "/config.json")
  return path
}()

private func writeAll(_ bytes: [UInt8], to path: String) {
  guard let file = try? File(path, .truncate) else { return }
  bytes.withUnsafeBytes { try? file.write($0, at: 0) }
}

/// Writes the input to a file and opens it; every tensor of what was accepted must be readable
/// and lie in the file.
func fuzzCheckpoint(_ bytes: UnsafeBufferPointer<UInt8>, name: String, open: String) -> CInt {
  writeAll(Array(bytes), to: directory + "/" + name)
  guard let checkpoint = try? Checkpoint.open(directory + open) else { return 0 }
  var taken = 0
  for tensor in checkpoint.tensors.values {
    precondition(tensor.byteCount == tensor.type.byteCount(shape: tensor.shape))
    precondition(tensor.offset >= 0 && tensor.offset + tensor.byteCount <= bytes.count)
    taken += tensor.byteCount
    var buffer = [UInt8](repeating: 0, count: tensor.byteCount)
    let read: Void? = buffer.withUnsafeMutableBytes {
      try? checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
    }
    precondition(read != nil)
  }
  precondition(taken <= bytes.count, "tensors overlap")
  return 0
}
