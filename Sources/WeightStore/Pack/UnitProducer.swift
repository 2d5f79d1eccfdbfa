import Support

/// One worker's buffers and the making of a unit's bytes from its sources.
struct UnitProducer: ~Copyable {
  private let output: UnsafeMutableRawBufferPointer
  private var even: RowWindow
  private var odd: RowWindow
  private let converter: BlockConverter
  private let searchesScales: Bool

  init(_ sizes: WorkingBytes, searchesScales: Bool) {
    output = .allocate(byteCount: alignUp(max(sizes.output, 1), to: 4096), alignment: 4096)
    even = RowWindow(capacity: sizes.window)
    odd = RowWindow(capacity: sizes.window)
    converter = BlockConverter(scratchBytes: sizes.scratch)
    self.searchesScales = searchesScales
  }

  deinit { output.deallocate() }

  /// The buffer, cut to a unit's size.
  func buffer(for unit: PackUnits.Unit) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: output[0..<unit.end - unit.begin])
  }

  /// Fills `buffer(for: unit)` and returns what each piece lost.
  mutating func produce(_ unit: PackUnits.Unit, of item: PackUnits.Item) throws(Failure)
    -> [PieceError]
  {
    let buffer = buffer(for: unit)
    guard let base = buffer.baseAddress else { return [] }
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    var errors: [PieceError] = []
    for piece in unit.pieces {
      errors.append(try produce(piece, item.sections[piece.section], at: base + piece.offset))
    }
    return errors
  }

  mutating func takeBytesRead() -> Int { even.takeBytesRead() + odd.takeBytesRead() }

  private mutating func produce(
    _ piece: PackUnits.Piece, _ section: PackUnits.Section, at out: UnsafeMutableRawPointer
  ) throws(Failure) -> PieceError {
    var total = PieceError()
    let isPaired: Bool
    switch section.rows {
    case .plain(let source):
      even.start(source)
      isPaired = false
    case .blockedPairs(let gate, let up):
      even.start(gate)
      odd.start(up)
      isPaired = true
    }
    let blocksPerStep = isPaired ? 2 : 1
    let limit =
      (piece.blocks.upperBound + blocksPerStep - 1) / blocksPerStep * MatrixLayout.blockRows
    let blockBytes = section.layout.blockBytes
    let importance = try section.importance?()
    for block in piece.blocks {
      let (source, rows) = section.rows.rows(ofBlock: block)
      guard !rows.isEmpty else { continue }
      let bytes =
        isPaired && block % 2 == 1
        ? try odd.bytes(of: rows, limit: min(limit, source.rows))
        : try even.bytes(of: rows, limit: min(limit, source.rows))
      guard let bytes else { continue }
      let target = out + (block - piece.blocks.lowerBound) * blockBytes
      do throws(BlockConverter.Problem) {
        switch section.layout {
        case .matrix(let matrix):
          total.add(
            try converter.convert(
              bytes, valid: rows.count, columns: matrix.columns, format: source.format,
              scheme: matrix.scheme, search: searchesScales, importance: importance, into: target))
        case .vector(let count):
          try converter.convertVector(bytes, count: count, format: source.format, into: target)
        }
      } catch {
        throw Self.failure(error, source, firstRow: rows.lowerBound, section.layout.scheme)
      }
    }
    return total
  }

  private static func failure(
    _ problem: BlockConverter.Problem, _ source: any RowSource, firstRow: Int, _ scheme: Scheme
  ) -> Failure {
    switch problem {
    case .notFinite(let row):
      Failure(
        .malformed, source.subject,
        at: "tensor \(source.name), row \(source.firstRow + firstRow + row)",
        "holds a value that is not a finite number",
        remedy: "The checkpoint is damaged or badly converted: get it again")
    case .outOfRange:
      Failure(
        .unsupported, source.subject,
        at: "tensor \(source.name), row \(source.firstRow + firstRow) or one of the next 15",
        "holds a value too large for \(scheme.rawValue)",
        remedy: "Pack this tensor with another scheme, such as bf16")
    }
  }
}
