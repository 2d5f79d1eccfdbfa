import WeightStore

/// Which tensors a model's store holds and where each comes from in a checkpoint.
///
/// Families write it from their configuration; `Packing` turns it into bytes, the engine looks
/// tensors up by store name, and `synth` fills it with random weights.
public struct TensorCatalog: Sendable {
  /// What a resident tensor is for: it decides the scheme it is packed with.
  public enum Role: String, Sendable {
    case embedding, head, attention, dense
    /// Kept at the source's precision (at least bf16): few bytes, large effect.
    case router
    /// Norm weights and biases: always f32 vectors.
    case vector
  }

  /// Rows of a checkpoint tensor, seen as a matrix with the last dimension as columns.
  public struct Source: Sendable, Equatable {
    public var tensor: String
    /// First row; experts stacked in one tensor start at expert × rows.
    public var firstRow: Int
    public var rows: Int
    public var columns: Int

    public init(_ tensor: String, firstRow: Int = 0, rows: Int, columns: Int) {
      self.tensor = tensor
      self.firstRow = firstRow
      self.rows = rows
      self.columns = columns
    }
  }

  /// How sources become the rows of one stored matrix.
  public enum Arrangement: Sendable, Equatable {
    case plain(Source)
    /// Alternating blocks of 16 gate and 16 up rows, each padded with zero rows to full blocks.
    case blockedPairs(gate: Source, up: Source)

    public var columns: Int {
      switch self {
      case .plain(let source): source.columns
      case .blockedPairs(let gate, _): gate.columns
      }
    }

    public var rows: Int {
      switch self {
      case .plain(let source): source.rows
      case .blockedPairs(let gate, _): RecordLayout.pairedRows(gate.rows)
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
