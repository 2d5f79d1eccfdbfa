import Checkpoints
import Glibc
import Support
import WeightStore

/// Activation statistics of every expert, as `flashmoe calibrate --importance` writes them: what each
/// column of its matrices is multiplied with, on average.
///
/// A safetensors file: `layers.N.gate_up` [experts][hidden] and `layers.N.down` [experts][inner] hold mean
/// squares, `layers.N.rows` [experts] how many rows they are the mean of.
public struct Importance: Sendable {
  static let kind = "flashmoe-importance-1"
  /// As many rows of the expert's own mean are mixed in: few rows say little about single columns.
  private static let priorRows: Float = 32

  private let file: SafetensorsFile
  /// Tells one state of the file from another.
  let identity: String

  /// - Throws: `Failure` for a file that is none of ours.
  public init(_ path: String) throws(Failure) {
    file = try SafetensorsFile(path)
    guard file.metadata["kind"]?.string == Self.kind else {
      throw Failure(
        .malformed, path, at: "__metadata__", "is not a file of activation statistics",
        remedy: "Make it with 'flashmoe calibrate --importance'")
    }
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw Failure.system(path, "cannot read its size", errno)
    }
    identity =
      "importance \(status.st_size) \(status.st_mtim.tv_sec) \(status.st_mtim.tv_nsec)"
  }

  /// - Throws: `Failure(.mismatch)` when a layer of the catalog is missing or of another shape.
  func check(_ catalog: TensorCatalog) throws(Failure) {
    for layer in catalog.expertLayers {
      for (section, columns) in [
        ("gate_up", layer.gateUp.first?.columns), ("down", layer.down.first?.columns),
        ("rows", nil),
      ] {
        let name = "layers.\(layer.layer).\(section)"
        let shape = [layer.expertCount] + [columns].compactMap { $0 }
        guard let tensor = file.tensors[name], tensor.type == .f32, tensor.shape == shape else {
          throw Failure(
            .mismatch, file.path, at: "tensor \(name)",
            "is not there as f32 of shape \(shape), which the model asks for",
            remedy: "Calibrate a store of the same model")
        }
      }
    }
  }

  /// One factor a column with mean 1, or nil where nothing is known of the expert.
  func columns(layer: Int, section: String, expert: Int) throws(Failure) -> [Float]? {
    let rows = try floats("layers.\(layer).rows", expert, 1).first ?? 0
    guard rows > 0, let width = file.tensors["layers.\(layer).\(section)"]?.shape.last else {
      return nil
    }
    let squares = try floats("layers.\(layer).\(section)", expert, width)
    let mean = squares.reduce(0, +) / Float(width)
    guard mean.isFinite, mean > 0, squares.allSatisfy({ $0 >= 0 }) else { return nil }
    return squares.map { (rows * $0 / mean + Self.priorRows) / (rows + Self.priorRows) }
  }

  private func floats(_ name: String, _ line: Int, _ width: Int) throws(Failure) -> [Float] {
    guard let tensor = file.tensors[name] else { return [] }
    var failure: Failure?
    let values = [Float](unsafeUninitializedCapacity: width) { buffer, count in
      do throws(Failure) {
        try file.read(
          tensor, bytes: line * width * 4..<(line + 1) * width * 4,
          into: UnsafeMutableRawBufferPointer(buffer))
        count = width
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return values
  }
}
