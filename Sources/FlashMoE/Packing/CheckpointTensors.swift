import Checkpoints
import Support
import WeightStore

/// Looks tensors up and checks them against what a catalog expects, before anything is packed.
struct CheckpointTensors {
  let checkpoint: Checkpoint
  /// Rows that all sources of a tensor together need: its expected size.
  private var expectedRows: [String: Int] = [:]

  init(_ checkpoint: Checkpoint, catalog: TensorCatalog) {
    self.checkpoint = checkpoint
    for source in catalog.sources {
      expectedRows[source.tensor] = max(expectedRows[source.tensor] ?? 0, source.rowLimit)
    }
  }

  /// - Throws: `Failure` naming file, tensor, what is expected, what is there, and a remedy.
  func rows(_ source: TensorCatalog.Source) throws(Failure) -> CheckpointRows {
    let total = expectedRows[source.tensor] ?? source.rowLimit
    let expected = Self.shape(total: total, source)
    guard let tensor = checkpoint.tensors[source.tensor] else {
      throw Failure(
        .notFound, checkpoint.path, at: "tensor \(source.tensor)",
        "is missing (expected \(expected))",
        remedy: checkpoint.kind == .gguf
          ? "The file is incomplete or of another architecture than it says: get it again"
          : "Some weight files are missing or config.json belongs to another model")
    }
    let file = checkpoint.files[tensor.file]
    guard Self.fits(tensor.shape, total: total, source) else {
      throw Failure(
        .mismatch, file, at: "tensor \(source.tensor)",
        "has shape \(tensor.shape) where the configuration asks for \(expected)",
        remedy: "The weights and the configuration are of different models")
    }
    let format = try format(of: tensor, source, file: file)
    let columns = source.transposedLines == nil ? source.columns : source.transposedRows ?? 0
    guard tensor.byteCount == total * format.rowBytes(columns: columns) else {
      throw Failure(
        .malformed, file, at: "tensor \(source.tensor)",
        "has \(tensor.byteCount) bytes, which its shape \(tensor.shape) does not give")
    }
    return CheckpointRows(checkpoint: checkpoint, tensor: tensor, source: source, format: format)
  }

  private func format(of tensor: TensorDescription, _ source: TensorCatalog.Source, file: String)
    throws(Failure) -> SourceFormat
  {
    let format: SourceFormat
    switch tensor.type {
    case .f32: format = .f32
    case .f16: format = .f16
    case .bf16: format = .bf16
    case .q4_0: format = .q4_0
    case .q8_0: format = .q8_0
    default:
      throw Failure(
        .unsupported, file, at: "tensor \(source.tensor)",
        "is \(tensor.type.rawValue); f32, f16, bf16, and Q4_0 and Q8_0 in GGUF can be packed",
        remedy: "Convert the checkpoint to bf16 first")
    }
    guard !format.isQuantized || (source.transposedRows == nil && source.columns % 32 == 0) else {
      throw Failure(
        .unsupported, file, at: "tensor \(source.tensor)",
        "is \(tensor.type.rawValue), whose blocks do not lie along the rows needed",
        remedy: "Use a checkpoint in bf16")
    }
    return format
  }

  private static func fits(_ shape: [Int], total: Int, _ source: TensorCatalog.Source) -> Bool {
    guard let last = shape.last else { return false }
    let leading = shape.dropLast().reduce(1) { $0 * $1 }
    if let stacked = source.transposedRows, source.transposedLines != nil {
      return last == stacked && leading == total
    }
    if let stacked = source.transposedRows {
      return last == stacked && leading * stacked == total * source.columns
        && shape.dropLast().last == source.columns
    }
    if last == source.columns, leading == total { return true }
    // Vectors: however the checkpoint folds them.
    return (source.rows == 1 || source.columns == 1) && leading * last == total * source.columns
  }

  private static func shape(total: Int, _ source: TensorCatalog.Source) -> String {
    if total == 1 { return "[\(source.columns)]" }
    if let stacked = source.transposedRows, source.transposedLines != nil {
      return "[\(total), \(stacked)]"
    }
    if let stacked = source.transposedRows {
      return "[\(total / stacked), \(source.columns), \(stacked)]"
    }
    return source.rows == total
      ? "[\(total), \(source.columns)]"
      : "[\(total / source.rows), \(source.rows), \(source.columns)]"
  }
}

extension TensorCatalog.Arrangement {
  var sources: [TensorCatalog.Source] {
    switch self {
    case .plain(let source): [source]
    case .blockedPairs(let gate, let up): [gate, up]
    case .heads(let sources): sources
    }
  }
}

extension TensorCatalog {
  /// Every checkpoint tensor's part in the store.
  var sources: [Source] {
    residents.flatMap { $0.arrangement.sources }
      + expertLayers.flatMap { ($0.gateUp + $0.down).flatMap(\.sources) }
  }
}
