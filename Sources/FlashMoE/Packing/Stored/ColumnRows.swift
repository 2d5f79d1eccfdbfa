import Checkpoints
import Support
import WeightStore

/// Rows of GPTQ and AWQ, which store a matrix with inputs before outputs: one of our rows is a column
/// of theirs.
///
/// GPTQ packs 32 / bits inputs into a word: `qweight` [columns × bits / 32, rows], `scales` [groups,
/// rows], `qzeros` [groups, rows × bits / 32], `g_idx` [columns].  AWQ packs eight outputs into a word
/// in the order 0, 2, 4, 6, 1, 3, 5, 7: `qweight` [columns, rows / 8], the others likewise.
struct ColumnRows: RowSource {
  enum Packing: Equatable {
    case gptq(StoredQuantization.GPTQ)
    case awq
  }

  let codes: TensorPart
  let scales: TensorPart
  let zeros: TensorPart
  let groupIndex: TensorPart?
  let packing: Packing
  let rows: Int
  let columns: Int
  private let bits: Int
  private let groupCount: Int
  private let writer: CodeRows

  var subject: String { codes.file }
  var files: [String] { [codes, scales, zeros, groupIndex].compactMap { $0?.file } }
  var name: String { codes.tensor.name }
  var firstRow: Int { 0 }
  var format: SourceFormat { writer.format }
  private var perWord: Int { 32 / bits }

  init(
    codes: TensorPart, scales: TensorPart, zeros: TensorPart, groupIndex: TensorPart?,
    packing: Packing, groupSize: Int?, rows: Int, columns: Int
  ) throws(Failure) {
    self.codes = codes
    self.scales = scales
    self.zeros = zeros
    self.groupIndex = groupIndex
    self.packing = packing
    self.rows = rows
    self.columns = columns
    var (isSymmetric, reorders) = (false, false)
    var bits = 4
    if case .gptq(let settings) = packing {
      bits = settings.bits
      isSymmetric = settings.isSymmetric
      reorders = settings.reorders
    }
    self.bits = bits
    let perWord = 32 / bits
    guard rows % perWord == 0, columns % perWord == 0 else {
      throw codes.failure(
        .unsupported, "\(rows) by \(columns) is not a whole number of words of \(perWord) codes")
    }
    groupCount = scales.tensor.shape.first ?? 0
    let size = groupSize ?? columns
    guard groupCount == (columns + size - 1) / size, groupCount > 0 else {
      throw scales.failure(
        .mismatch,
        "has \(groupCount) groups, where config.json's groups of \(size) give "
          + "\((columns + size - 1) / size) for \(columns) columns")
    }
    if packing == .awq {
      try codes.check(types: [.i32], rows: columns, columns: rows / perWord)
    } else {
      try codes.check(types: [.i32], rows: columns / perWord, columns: rows)
    }
    try scales.check(types: [.f16, .bf16, .f32], rows: groupCount, columns: rows)
    try zeros.check(types: [.i32], rows: groupCount, columns: rows / perWord)
    guard !reorders || groupIndex != nil else {
      throw codes.failure(.malformed, "comes without g_idx, which desc_act in config.json needs")
    }
    writer = CodeRows(
      columns: columns, groupSize: size,
      format: CodeRows.format(
        bits: bits, columns: columns, groupSize: size, isSymmetric: isSymmetric,
        scales: scales.tensor.type == .f16 ? .f16 : .f32, reorders: reorders),
      groups: reorders ? try groupIndex?.groupIndex(columns: columns, groups: groupCount) : nil)
  }

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    try checkOrder()
    let strip = try codeStrip(rows)
    let parameters = try parameters(rows)
    guard let base = buffer.baseAddress else { return }
    let rowBytes = format.rowBytes(columns: columns)
    var unpacked = [UInt8](repeating: 0, count: columns)
    let mask = UInt32(1 << bits - 1)
    for row in rows {
      strip.words.withUnsafeBufferPointer { words in
        unpacked.withUnsafeMutableBufferPointer { out in
          if packing == .awq {
            let shift = Self.awqShift(row)
            let first = row / 8 - strip.first
            for column in 0..<columns {
              out[column] = UInt8(words[column * strip.width + first] >> shift & 15)
            }
          } else {
            let first = row - strip.first
            for line in 0..<columns / perWord {
              var word = words[line * strip.width + first]
              for at in 0..<perWord {
                out[line * perWord + at] = UInt8(word & mask)
                word >>= UInt32(bits)
              }
            }
          }
        }
      }
      parameters.withUnsafeBufferPointer {
        guard let first = $0.baseAddress else { return }
        writer.write(
          unpacked, first + (row - rows.lowerBound) * groupCount,
          to: base + (row - rows.lowerBound) * rowBytes)
      }
    }
  }

  /// Where AWQ keeps output `row` in its word.
  private static func awqShift(_ row: Int) -> UInt32 {
    let order: [UInt32] = [0, 16, 4, 20, 8, 24, 12, 28]
    return order[row % 8]
  }

  /// The words of all columns that hold these rows.
  private func codeStrip(_ rows: Range<Int>) throws(Failure) -> (
    words: [UInt32], first: Int, width: Int
  ) {
    let isAWQ = packing == .awq
    let (first, end) =
      isAWQ ? (rows.lowerBound / 8, (rows.upperBound + 7) / 8) : (rows.lowerBound, rows.upperBound)
    let words = try codes.strip(
      lines: isAWQ ? columns : columns / perWord, of: isAWQ ? self.rows / 8 : self.rows,
      elements: first..<end, as: UInt32.self)
    return (words, first, end - first)
  }

  /// [rows][groups]
  private func parameters(_ rows: Range<Int>) throws(Failure) -> [CodeRows.Parameters] {
    let scale = try scales.floatStrip(lines: groupCount, of: self.rows, elements: rows)
    let first = rows.lowerBound / perWord
    let words = first..<(rows.upperBound + perWord - 1) / perWord
    let zero = try zeros.strip(
      lines: groupCount, of: self.rows / perWord, elements: words, as: UInt32.self)
    let mask = UInt32(1 << bits - 1)
    var result: [CodeRows.Parameters] = []
    result.reserveCapacity(rows.count * groupCount)
    for row in rows {
      for group in 0..<groupCount {
        let word = zero[group * words.count + row / perWord - first]
        let shift = packing == .awq ? Self.awqShift(row) : UInt32(row % perWord * bits)
        var point = word >> shift & mask
        if case .gptq(let settings) = packing {
          // Version 1 stored one less; what wrapped around comes back.
          if settings.storesZeroMinusOne { point = (point + 1) & mask }
          guard !settings.isSymmetric || point == 1 << UInt32(bits - 1) else {
            throw zeros.failure(
              .mismatch,
              "row \(row), group \(group): a zero point of \(point), where config.json "
                + "says that all are \(1 << (bits - 1))")
          }
        }
        let factor = scale[group * rows.count + row - rows.lowerBound]
        result.append(CodeRows.Parameters(scale: factor, bias: -factor * Float(point)))
      }
    }
    return result
  }

  /// Groups that are neighbours must be so: a checkpoint that says otherwise than its configuration
  /// would be read as noise.
  private func checkOrder() throws(Failure) {
    guard writer.groups == nil, let groupIndex else { return }
    let groups = try groupIndex.groupIndex(columns: columns, groups: groupCount)
    for (column, group) in groups.enumerated() where Int(group) != column / writer.groupSize {
      throw groupIndex.failure(
        .mismatch,
        "puts column \(column) into group \(group), where config.json says that groups are "
          + "neighbours (desc_act is false)")
    }
  }
}
