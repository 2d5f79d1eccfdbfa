import Support

/// The inside of a record: one routed expert's tensors in one extent.
///
/// `gate_up` comes first and `down` last, so that computing can start while the rest of a split
/// read is still in flight.  `gate_up` holds *blocked pairs*: alternating blocks of 16 gate rows
/// and 16 up rows, so one pass over it yields both halves of every SwiGLU input.
public struct RecordLayout: Sendable, Equatable {
  public struct Section: Sendable, Equatable {
    public let name: String
    public let layout: TensorLayout
    public let offset: Int
  }

  /// Records and slots start at multiples of this: what O_DIRECT and page tables want.
  public static let alignment = 4096

  public let sections: [Section]
  /// Bytes of all sections; the rest of the stride is zero.
  public let bytes: Int
  /// Distance of records in their file.
  public var stride: Int { alignUp(max(bytes, 1), to: Self.alignment) }
  /// Bytes from which the first section can be used, a multiple of the alignment: a reader may
  /// ask for so much first.  The whole stride when there is one section only.
  public var headBytes: Int {
    sections.count < 2 ? stride : min(alignUp(sections[1].offset, to: Self.alignment), stride)
  }

  /// Lays sections out in order, each at a multiple of 64 bytes.
  public init(_ tensors: [(name: String, layout: TensorLayout)]) {
    var sections: [Section] = []
    var end = 0
    for tensor in tensors {
      let offset = alignUp(end, to: 64)
      sections.append(Section(name: tensor.name, layout: tensor.layout, offset: offset))
      end = offset + tensor.layout.bytes
    }
    self.sections = sections
    bytes = end
  }

  /// The usual expert: SwiGLU with `gate_up` as blocked pairs and `down`.
  public static func swiglu(hidden: Int, inner: Int, scheme: Scheme, downScheme: Scheme)
    -> RecordLayout
  {
    RecordLayout([
      (
        "gate_up",
        .matrix(MatrixLayout(rows: pairedRows(inner), columns: hidden, scheme: scheme))
      ),
      ("down", .matrix(MatrixLayout(rows: hidden, columns: inner, scheme: downScheme))),
    ])
  }

  /// Rows of a blocked-pairs matrix for `inner` gate and `inner` up rows.
  public static func pairedRows(_ inner: Int) -> Int {
    2 * alignUp(inner, to: MatrixLayout.blockRows)
  }

  public func section(_ name: String) -> Section? { sections.first { $0.name == name } }
}
