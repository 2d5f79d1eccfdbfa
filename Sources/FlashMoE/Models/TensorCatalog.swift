import WeightStore

/// Which tensors a model's store holds and where each comes from in a checkpoint.
///
/// Families write it from their configuration; `Packing` turns it into bytes, the engine looks
/// tensors up by store name, and `synth` fills it with random weights.
public struct TensorCatalog: Sendable {
  /// What a resident tensor is for: it decides the scheme it is packed with.
  public enum Role: String, Sendable {
    case embedding, head, attention, dense
    /// Kept at the source's precision (at least 8 bits): few bytes, large effect.
    case router
    /// As the other residents, but never below 8 bits.
    case precise
    /// Norm weights and biases: always f32 vectors.
    case vector
  }

  /// Rows of a checkpoint tensor, seen as a matrix with the last dimension as columns.
  public struct Source: Sendable, Equatable {
    /// Where row r of a matrix lies among the tensor's rows.
    public enum Order: Sendable, Equatable {
      case ascending
      /// llama.cpp's order for neighbouring rotation: of each head's rows, the first half became the
      /// even ones and the second half the odd ones.
      case interleavedHalves(headDimension: Int)
      /// Any other order: the tensor's rows, counted from `firstRow`, one entry a row.
      case rows([Int])
    }

    public var tensor: String
    /// First row; experts stacked in one tensor start at expert × rows.
    public var firstRow: Int
    public var rows: Int
    public var columns: Int
    /// Distance of neighbouring rows: 2 where gate and up rows alternate.
    public var rowStep: Int
    public var order: Order
    /// Set where the tensor holds [columns][this many rows] for each expert: input before output.
    /// Rows are counted as if it were not so.
    public var transposedRows: Int?
    /// Lines from one expert, or head, to the next where that is more than the `columns` taken.
    public var transposedLines: Int?

    public init(
      _ tensor: String, firstRow: Int = 0, rows: Int, columns: Int, rowStep: Int = 1,
      order: Order = .ascending, transposedRows: Int? = nil, transposedLines: Int? = nil
    ) {
      self.tensor = tensor
      self.firstRow = firstRow
      self.rows = rows
      self.columns = columns
      self.rowStep = rowStep
      self.order = order
      self.transposedRows = transposedRows
      self.transposedLines = transposedLines
    }

    /// Whether the rows lie one after another as they are.
    public var isPlain: Bool { rowStep == 1 && order == .ascending && transposedRows == nil }

    /// The tensor's rows up to the last one needed.
    public var rowLimit: Int {
      if let transposedRows, let transposedLines {
        return ((firstRow + rows - 1) / transposedRows + 1) * transposedLines
      }
      switch order {
      case .ascending, .interleavedHalves: return firstRow + (rows - 1) * rowStep + 1
      case .rows(let rows): return firstRow + (rows.max() ?? 0) * rowStep + 1
      }
    }
  }

  /// How sources become the rows of one stored matrix.
  public enum Arrangement: Sendable, Equatable {
    case plain(Source)
    /// Alternating blocks of 16 gate and 16 up rows, each padded with zero rows to full blocks.
    case blockedPairs(gate: Source, up: Source)
    /// Matrices of the same shape one below the other, each padded with zero rows to full blocks.
    case heads([Source])

    public var columns: Int {
      switch self {
      case .plain(let source): source.columns
      case .blockedPairs(let gate, _): gate.columns
      case .heads(let sources): sources.first?.columns ?? 0
      }
    }

    public var rows: Int {
      switch self {
      case .plain(let source): source.rows
      case .blockedPairs(let gate, _): RecordLayout.pairedRows(gate.rows)
      case .heads(let sources): sources.reduce(0) { $0 + ($1.rows + 15) / 16 * 16 }
      }
    }
  }

  public struct Resident: Sendable {
    public var name: String
    public var role: Role
    public var arrangement: Arrangement
  }

  /// The routed experts of one layer.
  public struct ExpertLayer: Sendable {
    public var layer: Int
    public var expertCount: Int
    /// One entry an expert: gate and up as blocked pairs, and down.
    public var gateUp: [Arrangement]
    public var down: [Arrangement]
  }

  public var residents: [Resident]
  public var expertLayers: [ExpertLayer]
  /// Checkpoint tensors that exist in published files and play no part, by prefix, with a reason.
  public var unused: [(prefix: String, reason: String)]
}
