import Checkpoints
import Support
import WeightStore

/// How a checkpoint stores the matrix that a catalog names: as one tensor or as several, of which
/// each is found by the name.
///
/// Families name `X.weight` (or `X`, where experts are stacked) whatever the checkpoint holds.
struct StoredMatrix {
  fileprivate enum Kind {
    case plain(TensorPart)
    case mxfp4(codes: TensorPart, scales: TensorPart)
    case fp8(TensorPart, scale: TensorPart?, block: StoredQuantization.Block?)
    case affine(
      codes: TensorPart, scales: TensorPart, biases: TensorPart, StoredQuantization.MLX.Width?)
    case packed(
      codes: TensorPart, scales: TensorPart, zeros: TensorPart?, groupIndex: TensorPart?,
      shape: TensorPart?)
    case columns(
      codes: TensorPart, scales: TensorPart, zeros: TensorPart, groupIndex: TensorPart?,
      ColumnRows.Packing, groupSize: Int?)
  }

  private let kind: Kind
  /// The checkpoint's tensors it is made of.
  let parts: [String]
  /// MLX stacks experts that catalogs name one by one: which one this is.
  private let expert: Int?

  /// nil where the checkpoint has nothing by this name.
  ///
  /// - Throws: `Failure` where only half of it is there or the configuration does not say what it is.
  init?(_ name: String, in checkpoint: Checkpoint, _ quantization: StoredQuantization)
    throws(Failure)
  {
    if let kind = try Self.kind(name, checkpoint, quantization) {
      self.kind = kind
      expert = nil
    } else if let stacked = Self.stacked(name),
      let kind = try Self.kind(stacked.name, checkpoint, quantization)
    {
      self.kind = kind
      expert = stacked.expert
    } else {
      return nil
    }
    parts = kind.parts.map(\.tensor.name)
  }

  private static func kind(
    _ name: String, _ checkpoint: Checkpoint, _ quantization: StoredQuantization
  ) throws(Failure) -> Kind? {
    func part(_ name: String) -> TensorPart? { TensorPart(checkpoint, name) }
    let module = name.hasSuffix(".weight") ? String(name.dropLast(7)) : name
    func needed(_ name: String, for owner: TensorPart) throws(Failure) -> TensorPart {
      guard let found = part(name) else {
        throw owner.failure(
          .notFound, "comes without \(name), which it needs",
          remedy: "Some weight files are missing: download the checkpoint again")
      }
      return found
    }

    if let plain = part(name) {
      switch plain.tensor.type {
      case .f8e4m3:
        let scale = part(name + "_scale_inv") ?? part(name + "_scale")
        guard scale != nil || quantization == .none else {
          throw plain.failure(
            .notFound, "comes without \(name)_scale_inv or \(name)_scale",
            remedy: "Some weight files are missing: download the checkpoint again")
        }
        var block: StoredQuantization.Block?
        if case .fp8(let sides) = quantization { block = sides }
        return .fp8(plain, scale: scale, block: block)
      case .u32:
        let scales = try needed(module + ".scales", for: plain)
        if scales.tensor.type == .u8 { return .mxfp4(codes: plain, scales: scales) }
        var width: StoredQuantization.MLX.Width?
        if case .mlx(let settings) = quantization { width = settings.width(of: module) }
        return .affine(
          codes: plain, scales: scales, biases: try needed(module + ".biases", for: plain), width)
      default: return .plain(plain)
      }
    }
    if let codes = part(name + "_blocks") {
      return .mxfp4(codes: codes, scales: try needed(name + "_scales", for: codes))
    }
    if let codes = part(name + "_packed") {
      return .packed(
        codes: codes, scales: try needed(name + "_scale", for: codes),
        zeros: part(name + "_zero_point"), groupIndex: part(name + "_g_idx"),
        shape: part(name + "_shape"))
    }
    if let codes = part(module + ".qweight") {
      let packing: ColumnRows.Packing
      let groupSize: Int?
      switch quantization {
      case .gptq(let settings): (packing, groupSize) = (.gptq(settings), settings.groupSize)
      case .awq(let size): (packing, groupSize) = (.awq, size)
      default:
        throw codes.failure(
          .unsupported,
          "holds packed integers, and config.json has no quantization_config of gptq or awq",
          remedy: "Restore the checkpoint's config.json")
      }
      return .columns(
        codes: codes, scales: try needed(module + ".scales", for: codes),
        zeros: try needed(module + ".qzeros", for: codes), groupIndex: part(module + ".g_idx"),
        packing, groupSize: groupSize)
    }
    return nil
  }

  /// MLX's name for the experts' stacked tensor: `P.experts.3.w1.weight` is part of
  /// `P.switch_mlp.gate_proj.weight`.
  private static func stacked(_ name: String) -> (name: String, expert: Int)? {
    var words = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard words.count >= 4, words[words.count - 4] == "experts",
      let expert = Int(words[words.count - 3]), expert >= 0
    else { return nil }
    let projections = ["w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"]
    let projection = words[words.count - 2]
    words[words.count - 2] = projections[projection] ?? projection
    words[words.count - 4] = "switch_mlp"
    words.remove(at: words.count - 3)
    return (words.joined(separator: "."), expert)
  }

  /// All rows, experts that are stacked in one tensor one after another.
  ///
  /// - Throws: `Failure` naming the tensor whose shape or type does not fit.
  func rows(_ rows: Int, of source: TensorCatalog.Source) throws(Failure) -> any RowSource {
    guard let expert else { return try all(rows, source) }
    let experts = kind.parts.first?.tensor.shape.first ?? 0
    guard expert < experts else {
      throw kind.parts[0].failure(
        .mismatch, "holds \(experts) experts, and the configuration asks for number \(expert)")
    }
    return SelectedRows(
      matrix: try all(experts * rows, source),
      source: TensorCatalog.Source(
        source.tensor, firstRow: expert * rows, rows: rows, columns: source.columns))
  }

  private func all(_ rows: Int, _ source: TensorCatalog.Source) throws(Failure) -> any RowSource {
    let columns = source.columns
    switch kind {
    case .plain(let part):
      if let stacked = source.transposedRows {
        return try TransposedRows(part, rows: rows, columns: columns, stacked: stacked)
      }
      return try PlainRows(part, rows: rows, columns: columns, isVector: source.isVector)
    case .mxfp4(let codes, let scales):
      return try MXFP4Rows(codes: codes, scales: scales, rows: rows, columns: columns)
    case .fp8(let part, let scale, let block):
      return try FP8Rows(part, scale: scale, block: block, rows: rows, columns: columns)
    case .affine(let codes, let scales, let biases, let width):
      return try AffineRows(
        codes: codes, scales: scales, biases: biases, expected: width, rows: rows,
        columns: columns)
    case .packed(let codes, let scales, let zeros, let groupIndex, let shape):
      return try CompressedRows(
        codes: codes, scales: scales, zeros: zeros, groupIndex: groupIndex, shape: shape,
        rows: rows, columns: columns)
    case .columns(let codes, let scales, let zeros, let groupIndex, let packing, let groupSize):
      return try ColumnRows(
        codes: codes, scales: scales, zeros: zeros, groupIndex: groupIndex, packing: packing,
        groupSize: groupSize, rows: rows, columns: columns)
    }
  }
}

extension StoredMatrix.Kind {
  fileprivate var parts: [TensorPart] {
    switch self {
    case .plain(let part): [part]
    case .mxfp4(let codes, let scales): [codes, scales]
    case .fp8(let part, let scale, _): [part] + [scale].compactMap { $0 }
    case .affine(let codes, let scales, let biases, _): [codes, scales, biases]
    case .packed(let codes, let scales, let zeros, let groupIndex, let shape):
      [codes, scales] + [zeros, groupIndex, shape].compactMap { $0 }
    case .columns(let codes, let scales, let zeros, let groupIndex, _, _):
      [codes, scales, zeros] + [groupIndex].compactMap { $0 }
    }
  }
}

extension TensorCatalog.Source {
  /// Checkpoints fold vectors as they like.
  var isVector: Bool { rows == 1 || columns == 1 }
}
