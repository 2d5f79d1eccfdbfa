import Checkpoints
import Support
import WeightStore

/// All rows of a tensor that holds them one after another: plain numbers, or GGML's blocks.
struct PlainRows: RowSource {
  let part: TensorPart
  let rows: Int
  let columns: Int
  let format: SourceFormat

  var subject: String { part.file }
  var name: String { part.tensor.name }
  var firstRow: Int { 0 }

  /// - Throws: `Failure` when the shape is not `rows` × `columns` or the type cannot be packed.
  init(_ part: TensorPart, rows: Int, columns: Int, isVector: Bool = false) throws(Failure) {
    self.part = part
    self.rows = rows
    self.columns = columns
    guard let format = Self.format(part.tensor.type) else {
      throw Failure(
        .unsupported, part.file, at: part.place,
        "is \(part.tensor.type.rawValue), which cannot be packed",
        remedy: "Convert the checkpoint to bf16 first")
    }
    self.format = format
    if !isVector || part.tensor.elementCount != rows * columns || format.blockColumns > 1 {
      try part.check(rows: rows, columns: columns)
    }
    guard part.tensor.byteCount == rows * format.rowBytes(columns: columns) else {
      throw Failure(
        .malformed, part.file, at: part.place,
        "has \(part.tensor.byteCount) bytes, which its shape \(part.tensor.shape) does not give")
    }
  }

  static func format(_ type: ElementType) -> SourceFormat? {
    switch type {
    case .f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_k, .q3_k, .q4_k, .q5_k, .q6_k,
      .iq4_nl, .iq4_xs, .mxfp4:
      SourceFormat(rawValue: type.rawValue)
    default: nil
    }
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    let rowBytes = format.rowBytes(columns: columns)
    try part.read(rows.lowerBound * rowBytes..<rows.upperBound * rowBytes, into: buffer)
  }
}
