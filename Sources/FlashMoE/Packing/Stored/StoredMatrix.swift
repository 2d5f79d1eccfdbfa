import Checkpoints
import Support
import WeightStore

/// How a checkpoint stores the matrix that a catalog names: as one tensor or as several, of which
/// each is found by the name.
///
/// Families name `X.weight` (or `X`, where experts are stacked) whatever the checkpoint holds.
struct StoredMatrix {
  private enum Kind {
    case plain(TensorPart)
    case mxfp4(codes: TensorPart, scales: TensorPart)
  }

  private let kind: Kind

  /// nil where the checkpoint has nothing by this name.
  init?(_ name: String, in checkpoint: Checkpoint) throws(Failure) {
    func part(_ name: String) -> TensorPart? { TensorPart(checkpoint, name) }
    if let plain = part(name) {
      kind = .plain(plain)
    } else if let codes = part(name + "_blocks"), let scales = part(name + "_scales") {
      kind = .mxfp4(codes: codes, scales: scales)
    } else {
      return nil
    }
  }

  /// The checkpoint's tensors it is made of.
  var parts: [String] {
    switch kind {
    case .plain(let part): [part.tensor.name]
    case .mxfp4(let codes, let scales): [codes.tensor.name, scales.tensor.name]
    }
  }

  /// All rows, experts that are stacked in one tensor one after another.
  ///
  /// - Throws: `Failure` naming the tensor whose shape or type does not fit.
  func rows(_ rows: Int, of source: TensorCatalog.Source) throws(Failure) -> any RowSource {
    let columns = source.columns
    switch kind {
    case .plain(let part):
      if let stacked = source.transposedRows {
        return try TransposedRows(part, rows: rows, columns: columns, stacked: stacked)
      }
      return try PlainRows(part, rows: rows, columns: columns, isVector: source.isVector)
    case .mxfp4(let codes, let scales):
      return try MXFP4Rows(codes: codes, scales: scales, rows: rows, columns: columns)
    }
  }
}

extension TensorCatalog.Source {
  /// Checkpoints fold vectors as they like.
  var isVector: Bool { rows == 1 || columns == 1 }
}
