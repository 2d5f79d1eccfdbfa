import Support

/// One safetensors file by itself, checked like those of a checkpoint.
public final class SafetensorsFile: Sendable {
  public let path: String
  public let tensors: [String: TensorDescription]
  /// The optional `__metadata__` member: strings only.
  public let metadata: JSONObject
  private let weights: WeightFile

  /// - Throws: `Failure` naming file, tensor and problem.
  public init(_ path: String) throws(Failure) {
    self.path = path
    weights = try WeightFile(path)
    let header = try SafetensorsHeader(weights, fileIndex: 0)
    tensors = Dictionary(header.tensors.map { ($0.name, $0) }) { first, _ in first }
    metadata = header.metadata
  }

  /// Reads part of a tensor as it is stored; `bytes` are relative to its first one.
  public func read(
    _ tensor: TensorDescription, bytes: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    guard bytes.lowerBound >= 0, bytes.upperBound <= tensor.byteCount, bytes.count == buffer.count
    else {
      throw Failure(
        .mismatch, path, at: "tensor \(tensor.name)",
        "cannot read bytes \(bytes.lowerBound) to \(bytes.upperBound) of \(tensor.byteCount)")
    }
    try weights.file.read(into: buffer, at: tensor.offset + bytes.lowerBound)
  }
}
