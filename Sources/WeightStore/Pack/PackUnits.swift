import Support

/// The plan cut into pieces of work that can be done in any order and redone alone.
struct PackUnits: Sendable {
  /// A resident tensor or a record: what gets one checksum.
  struct Item: Sendable {
    /// Path inside the store.
    let file: String
    /// Where it starts in its file.
    let offset: Int
    /// Bytes the checksum covers; zeros follow up to the next item.
    let bytes: Int
    let sections: [Section]
    let part: QuantizationError.Part
    /// The index of its first unit, and how many it has.
    let firstUnit: Int
    let unitCount: Int
  }

  struct Section: Sendable {
    /// What reports count it as.
    let tensorClass: String
    let layout: TensorLayout
    let rows: PackPlan.Rows
    let offset: Int
    var importance: (@Sendable () throws(Failure) -> [Float]?)?
  }

  /// Blocks of one section; a vector is one block.
  struct Piece: Sendable {
    let section: Int
    let blocks: Range<Int>
    /// Relative to the unit's first byte.
    let offset: Int
  }

  struct Unit: Sendable {
    let item: Int
    /// Bytes of the item, the zeros after its end included for the last unit.
    let begin: Int
    let end: Int
    let pieces: [Piece]
    let sourceBytes: Int
  }

  static let defaultUnitBytes = 8 << 20

  let items: [Item]
  let units: [Unit]
  /// Every data file with its final size, in order.
  let files: [(path: String, bytes: Int)]

  init(_ plan: PackPlan, unitBytes: Int) {
    var builder = Builder(unitBytes: unitBytes)
    let placement = ResidentPlacement(plan)
    for (at, tensor) in plan.residents.enumerated() {
      let next = at + 1 < placement.offsets.count ? placement.offsets[at + 1] : placement.fileBytes
      builder.add(
        file: Manifest.residentFileName, offset: placement.offsets[at], bytes: tensor.layout.bytes,
        paddedBytes: next - placement.offsets[at],
        sections: [
          Section(
            tensorClass: tensor.tensorClass, layout: tensor.layout, rows: tensor.rows, offset: 0)
        ], part: .residents)
    }
    var files = [(path: Manifest.residentFileName, bytes: placement.fileBytes)]
    for file in plan.recordFiles {
      var offset = 0
      for (at, rows) in file.records.enumerated() {
        let record = file.layout(of: at)
        builder.add(
          file: file.file, offset: offset, bytes: record.bytes,
          paddedBytes: record.stride,
          sections: zip(record.sections, rows).map {
            Section(
              tensorClass: "experts " + $0.name, layout: $0.layout, rows: $1, offset: $0.offset,
              importance: Self.importance(file.importance, expert: at, section: $0.name))
          }, part: .experts)
        offset += record.stride
      }
      files.append((file.file, offset))
    }
    items = builder.items
    units = builder.units
    self.files = files
  }

  private static func importance(
    _ source: PackPlan.ImportanceSource?, expert: Int, section: String
  ) -> (@Sendable () throws(Failure) -> [Float]?)? {
    guard let source else { return nil }
    return { () throws(Failure) in try source(expert, section) }
  }

  private struct Builder {
    let unitBytes: Int
    var items: [Item] = []
    var units: [Unit] = []

    mutating func add(
      file: String, offset: Int, bytes: Int, paddedBytes: Int, sections: [Section],
      part: QuantizationError.Part
    ) {
      let firstUnit = units.count
      var begin = 0
      var pieces: [Piece] = []
      var sourceBytes = 0
      func close(_ end: Int) {
        units.append(
          Unit(
            item: items.count, begin: begin, end: end, pieces: pieces, sourceBytes: sourceBytes))
        begin = end
        pieces = []
        sourceBytes = 0
      }
      for (index, section) in sections.enumerated() {
        let blockBytes = section.layout.blockBytes
        var block = 0
        let count = section.layout.blockCount
        while block < count {
          let start = section.offset + block * blockBytes
          let room = unitBytes - (start - begin)
          // A unit takes at least one block, whatever its size; pieces are whole pairs.
          if room < 2 * blockBytes, start > begin, !pieces.isEmpty {
            close(start)
            continue
          }
          let step = max(2, room / blockBytes / 2 * 2)
          let end = min(count, block + step)
          pieces.append(Piece(section: index, blocks: block..<end, offset: start - begin))
          sourceBytes += section.rows.sourceBytes(blocks: block..<end, of: section.layout)
          block = end
        }
      }
      close(paddedBytes)
      items.append(
        Item(
          file: file, offset: offset, bytes: bytes, sections: sections, part: part,
          firstUnit: firstUnit, unitCount: units.count - firstUnit))
    }
  }

  /// Bytes that one worker's buffers need for any unit of the plan.
  func workingBytes() -> WorkingBytes {
    var most = WorkingBytes()
    for unit in units { most.output = max(most.output, unit.end - unit.begin) }
    for item in items {
      for section in item.sections {
        for source in section.rows.sources {
          let rows = RowWindow.rows(rowBytes: source.rowBytes)
          most.window = max(most.window, min(rows, source.rows) * source.rowBytes)
          most.scratch = max(most.scratch, MatrixLayout.blockRows * source.columns * 4)
        }
      }
    }
    return most
  }
}

/// Buffer sizes of one worker.
struct WorkingBytes {
  var output = 0
  /// Source rows; there are two windows, for gate and up.
  var window = 0
  /// One block as f32.
  var scratch = 0
  /// Sources that are made of several tensors hold as much again while they read.
  var total: Int { output + 4 * window + 2 * scratch }
}

extension TensorLayout {
  var blockCount: Int {
    if case .matrix(let matrix) = self { matrix.blockCount } else { 1 }
  }

  var blockBytes: Int {
    switch self {
    case .matrix(let matrix): matrix.blockBytes
    case .vector(let count): count * 4
    }
  }

  /// The scheme its numbers are stored with; vectors are f32.
  public var scheme: Scheme {
    if case .matrix(let matrix) = self { matrix.scheme } else { .f32 }
  }
}

extension PackPlan.Rows {
  func sourceBytes(blocks: Range<Int>, of layout: TensorLayout) -> Int {
    var bytes = 0
    for block in blocks {
      let (source, rows) = self.rows(ofBlock: block)
      bytes += rows.count * source.rowBytes
    }
    return bytes
  }

  /// Which rows of which source fill a block of the stored matrix.
  func rows(ofBlock block: Int) -> (source: any RowSource, rows: Range<Int>) {
    let source: any RowSource
    let at: Int
    switch self {
    case .plain(let only): (source, at) = (only, block)
    case .blockedPairs(let gate, let up):
      (source, at) = (block % 2 == 0 ? gate : up, block / 2)
    }
    let first = min(at * MatrixLayout.blockRows, source.rows)
    return (source, first..<min(first + MatrixLayout.blockRows, source.rows))
  }
}
