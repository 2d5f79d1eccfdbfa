extension ModelConfiguration {
  /// A gated DeltaNet: a mixer whose memory is a matrix a head, however long the text
  /// (docs/deltanet.md).
  public struct DeltaNet: Sendable, Equatable {
    /// Which key head a value head works with.
    public enum HeadOrder: Sendable, Equatable {
      /// Value heads of one key head follow each other.
      case grouped
      /// Value head h works with key head h mod the number of key heads: llama.cpp's order.
      case tiled
    }

    public var keyHeadCount: Int
    public var valueHeadCount: Int
    public var keyDimension: Int
    public var valueDimension: Int
    /// Rows a channel's convolution sees, its own included.
    public var taps: Int
    public var order = HeadOrder.grouped
    /// Whether checkpoints hold the logarithm of a head's decay rate, or minus the rate itself.
    public var storesLogarithm = true
    /// Of the norm of each head's output.
    public var epsilon: Float

    public init(
      keyHeadCount: Int, valueHeadCount: Int, keyDimension: Int, valueDimension: Int, taps: Int,
      epsilon: Float
    ) {
      self.keyHeadCount = keyHeadCount
      self.valueHeadCount = valueHeadCount
      self.keyDimension = keyDimension
      self.valueDimension = valueDimension
      self.taps = taps
      self.epsilon = epsilon
    }

    public var keyRows: Int { keyHeadCount * keyDimension }
    public var valueRows: Int { valueHeadCount * valueDimension }
    /// What goes through the convolution: queries, keys and values.
    public var channels: Int { 2 * keyRows + valueRows }
    public var valuesPerKeyHead: Int { valueHeadCount / keyHeadCount }
  }
}
