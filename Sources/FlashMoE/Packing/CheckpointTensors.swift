import Checkpoints
import Support
import WeightStore

/// Looks tensors up and checks them against what a catalog expects, before anything is packed.
struct CheckpointTensors {
  let checkpoint: Checkpoint
  /// Rows that all sources of a tensor together need: its expected size.
  private var expectedRows: [String: Int] = [:]
  private let quantization: StoredQuantization

  /// - Throws: `Failure(.unsupported)` naming a way of quantizing that is not known.
  init(_ checkpoint: Checkpoint, catalog: TensorCatalog) throws(Failure) {
    self.checkpoint = checkpoint
    quantization = try StoredQuantization(
      config: checkpoint.config, subject: checkpoint.path + "/config.json")
    for source in catalog.sources {
      expectedRows[source.tensor] = max(expectedRows[source.tensor] ?? 0, source.rowLimit)
    }
  }

  /// - Throws: `Failure` naming file, tensor, what is expected, what is there, and a remedy.
  func rows(_ source: TensorCatalog.Source) throws(Failure) -> any RowSource {
    let total = expectedRows[source.tensor] ?? source.rowLimit
    guard let stored = try StoredMatrix(source.tensor, in: checkpoint, quantization) else {
      throw Failure(
        .notFound, checkpoint.path, at: "tensor \(source.tensor)",
        "is missing (expected \(Self.shape(total: total, source)))",
        remedy: checkpoint.kind == .gguf
          ? "The file is incomplete or of another architecture than it says: get it again"
          : "Some weight files are missing or config.json belongs to another model")
    }
    if let columns = source.transposedRows, let lines = source.transposedLines {
      let whole = TensorCatalog.Source(source.tensor, rows: total, columns: columns)
      return HeadRows(
        base: try stored.rows(total, of: whole),
        firstLine: source.firstRow / columns * lines, rows: columns, columns: source.columns)
    }
    return SelectedRows(matrix: try stored.rows(total, of: source), source: source)
  }

  /// The checkpoint's tensors that a catalog's name stands for.
  func parts(of name: String) throws(Failure) -> [String] {
    try StoredMatrix(name, in: checkpoint, quantization)?.parts ?? []
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
