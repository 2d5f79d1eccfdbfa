extension ModelConfiguration {
  /// Attention of one layer over cached keys and values.
  public struct Attention: Sendable, Equatable {
    public enum Biases: Sendable, Equatable {
      case none
      /// On the q, k and v projections.
      case queryKeyValue
      /// On the output projection too.
      case all
    }

    /// Norms of q and k before the rotation, of the model's norm kind.
    public enum HeadNorms: Sendable, Equatable {
      case none
      /// Over each head, one weight for all of them.
      case each
      /// Over all heads of a token at once.
      case together
    }

    public var headCount: Int
    public var keyValueHeadCount: Int
    public var headDimension: Int
    public var biases = Biases.none
    public var headNorms = HeadNorms.none
    /// q, k and v are cut off at ± this.
    public var clip: Float?
    public var rope: RotaryEmbedding
    /// What q·k is multiplied by.
    public var scale: Float
    /// Positions a token sees, itself included; nil for all before it.
    public var window: Int?
    /// A learned score a head that takes part in the softmax and carries no value.
    public var hasSinks = false
    /// What a head gives is multiplied by the sigmoid of a gate, projected like its query.
    public var hasGate = false

    public init(
      headCount: Int, keyValueHeadCount: Int, headDimension: Int, rope: RotaryEmbedding
    ) {
      self.headCount = headCount
      self.keyValueHeadCount = keyValueHeadCount
      self.headDimension = headDimension
      self.rope = rope
      scale = 1 / Float(headDimension).squareRoot()
    }

    public var queryRows: Int { headCount * headDimension }
    public var keyValueRows: Int { keyValueHeadCount * headDimension }
    public var queriesPerKeyValueHead: Int { headCount / keyValueHeadCount }
  }
}
