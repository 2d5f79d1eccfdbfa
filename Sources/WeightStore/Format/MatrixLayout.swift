import Support

/// Where the rows and columns of one blocked matrix lie: pure arithmetic, no I/O.
public struct MatrixLayout: Sendable, Hashable {
  public static let blockRows = 16

  public let rows: Int
  public let columns: Int
  public let scheme: Scheme

  /// Rows or columns above this are refused; it keeps all products far from overflow.
  public static let dimensionLimit = 1 << 26

  public init(rows: Int, columns: Int, scheme: Scheme) {
    self.rows = rows
    self.columns = columns
    self.scheme = scheme
  }

  public var blockCount: Int { (rows + Self.blockRows - 1) / Self.blockRows }

  public var paddedColumns: Int {
    (columns + scheme.columnUnit - 1) / scheme.columnUnit * scheme.columnUnit
  }

  /// Bytes of one block of 16 rows, a multiple of 64.
  public var blockBytes: Int {
    let padded = paddedColumns
    switch scheme {
    case .f32: return padded * 64
    case .f16, .bf16: return padded * 32
    case .q8: return alignUp(padded / 32 * 32, to: 64) + padded * 16
    case .q4: return alignUp(padded / 32 * 32, to: 64) + padded * 8
    case .q4a: return padded / 64 * 64 + padded * 8
    case .mxfp4: return alignUp(padded / 32 * 16, to: 64) + padded * 8
    case .q3: return alignUp(padded / 32 * 32, to: 64) + padded * 6
    case .q2: return alignUp(padded / 32 * 32, to: 64) + padded * 4
    }
  }

  public var bytes: Int { blockCount * blockBytes }
}

@inlinable
public func alignUp(_ value: Int, to alignment: Int) -> Int {
  (value + alignment - 1) / alignment * alignment
}

/// One tensor inside a record or among the resident weights.
public enum TensorLayout: Sendable, Equatable {
  case matrix(MatrixLayout)
  /// f32 values in order: norms and biases.
  case vector(count: Int)

  public var bytes: Int {
    switch self {
    case .matrix(let layout): layout.bytes
    case .vector(let count): count * 4
    }
  }
}
