import Checkpoints
import Support

/// One checkpoint tensor that makes up a matrix, alone or with others.
struct TensorPart: Sendable {
  let checkpoint: Checkpoint
  let tensor: TensorDescription

  var file: String { checkpoint.files[tensor.file] }
  var place: String { "tensor \(tensor.name)" }

  /// nil where the checkpoint has no such tensor.
  init?(_ checkpoint: Checkpoint, _ name: String) {
    guard let tensor = checkpoint.tensors[name] else { return nil }
    self.checkpoint = checkpoint
    self.tensor = tensor
  }

  func read(_ bytes: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    try checkpoint.read(tensor, bytes: bytes, into: buffer)
  }

  func bytes(_ range: Range<Int>) throws(Failure) -> [UInt8] {
    var failure: Failure?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      do throws(Failure) {
        try read(range, into: UnsafeMutableRawBufferPointer(buffer))
        count = range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Checks type and shape, all dimensions but the last multiplied together.
  func check(types: Set<ElementType>? = nil, rows: Int, columns: Int) throws(Failure) {
    if let types, !types.contains(tensor.type) {
      let known = types.map(\.rawValue).sorted().joined(separator: " or ")
      throw Failure(
        .unsupported, file, at: place, "is \(tensor.type.rawValue), where \(known) is expected")
    }
    let leading = tensor.shape.dropLast().reduce(1) { $0 * $1 }
    guard leading == rows, (tensor.shape.last ?? 1) == columns else {
      throw Failure(
        .mismatch, file, at: place,
        "has shape \(tensor.shape) where the configuration asks for "
          + (rows == 1 ? "[\(columns)]" : "[\(rows), \(columns)]"),
        remedy: "The weights and the configuration are of different models")
    }
  }

  func failure(_ kind: Failure.Kind, _ problem: String, remedy: String? = nil) -> Failure {
    Failure(kind, file, at: place, problem, remedy: remedy)
  }
}
