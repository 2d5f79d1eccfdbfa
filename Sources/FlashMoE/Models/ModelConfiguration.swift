import Support

/// A decoder-only transformer with routed experts, as the engine needs to know it.
///
/// Families fill it from their own `config.json`; the engine never looks at the JSON.
public struct ModelConfiguration: Sendable, Equatable {
  public enum FeedForward: Sendable, Equatable {
    /// One SwiGLU for every token; `inner` rows.
    case dense(inner: Int)
    /// Routed experts.
    case experts
  }

  public struct Attention: Sendable, Equatable {
    public var headCount: Int
    public var keyValueHeadCount: Int
    public var headDimension: Int
    /// Biases on the q, k, v and output projections.
    public var hasBias: Bool
    /// An RMSNorm over each head of q and k before the rotation.
    public var normalizesHeads: Bool
    public var rope: RotaryEmbedding

    public var queryRows: Int { headCount * headDimension }
    public var keyValueRows: Int { keyValueHeadCount * headDimension }
    public var queriesPerKeyValueHead: Int { headCount / keyValueHeadCount }
  }

  public struct Experts: Sendable, Equatable {
    public var count: Int
    /// Experts a token goes through: the trained top-k.
    public var perToken: Int
    public var inner: Int
    /// Whether the chosen experts' softmax weights are scaled to sum to one.
    public var normalizesWeights: Bool
  }

  public var modelType: String
  public var vocabularySize: Int
  public var hiddenSize: Int
  public var attention: Attention
  public var experts: Experts
  /// One entry a layer.
  public var feedForwards: [FeedForward]
  public var normEpsilon: Float
  public var tiesEmbeddings: Bool
  /// The longest context the model was trained or scaled for.
  public var maximumPositions: Int
  public var endTokens: [Int32]

  public var layerCount: Int { feedForwards.count }
  /// Layer numbers that have routed experts, ascending.
  public var sparseLayers: [Int] {
    feedForwards.indices.filter { feedForwards[$0] == .experts }
  }
  public var largestDenseInner: Int {
    feedForwards.reduce(0) { largest, kind in
      if case .dense(let inner) = kind { max(largest, inner) } else { largest }
    }
  }
}
