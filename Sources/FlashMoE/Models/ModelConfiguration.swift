import Support

/// A decoder-only transformer with routed experts, as the engine needs to know it.
///
/// Families fill it from their own `config.json`; the engine never looks at the JSON.  What differs
/// between layers stands in the layer's own value, what is the same in all of them stands once.
public struct ModelConfiguration: Sendable, Equatable {
  /// What mixes a layer's tokens with those before.
  public enum Mixer: Sendable, Equatable {
    case attention(Attention)
    case latent(LatentAttention)
    case deltaNet(DeltaNet)
  }

  public enum FeedForward: Sendable, Equatable {
    /// One SwiGLU for every token; `inner` rows.
    case dense(inner: Int)
    /// Routed experts.
    case experts
  }

  /// How hidden states are normalized before mixers, feed-forwards and the head.
  public struct Norm: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
      /// x ÷ root mean square × w.
      case rootMeanSquare
      /// x ÷ root mean square × (1 + w): the 1 is added when weights are loaded.
      case rootMeanSquarePlusOne
      /// (x − mean) ÷ standard deviation × w + bias.
      case layer
    }

    public var kind: Kind
    public var epsilon: Float

    public init(_ kind: Kind, epsilon: Float) {
      self.kind = kind
      self.epsilon = epsilon
    }

    public var hasBias: Bool { kind == .layer }
  }

  /// Constants some families multiply by; 1 in all others.
  public struct Multipliers: Sendable, Equatable {
    public var embedding: Float = 1
    /// What mixers and feed-forwards add to the residual stream.
    public var residual: Float = 1
    public var logits: Float = 1

    public init() {}
  }

  public var modelType: String
  public var vocabularySize: Int
  public var hiddenSize: Int
  /// One entry a layer.
  public var mixers: [Mixer]
  /// One entry a layer.
  public var feedForwards: [FeedForward]
  public var experts: Experts
  public var norm: Norm
  public var multipliers = Multipliers()
  public var tiesEmbeddings: Bool
  public var headHasBias = false
  /// The longest context the model was trained or scaled for.
  public var maximumPositions: Int
  public var endTokens: [Int32]

  public init(
    modelType: String, vocabularySize: Int, hiddenSize: Int, mixers: [Mixer],
    feedForwards: [FeedForward], experts: Experts, norm: Norm, tiesEmbeddings: Bool,
    maximumPositions: Int, endTokens: [Int32]
  ) {
    self.modelType = modelType
    self.vocabularySize = vocabularySize
    self.hiddenSize = hiddenSize
    self.mixers = mixers
    self.feedForwards = feedForwards
    self.experts = experts
    self.norm = norm
    self.tiesEmbeddings = tiesEmbeddings
    self.maximumPositions = maximumPositions
    self.endTokens = endTokens
  }

  public var layerCount: Int { mixers.count }

  /// Layer numbers that have routed experts, ascending.
  public var sparseLayers: [Int] {
    feedForwards.indices.filter { feedForwards[$0] == .experts }
  }

  public var denseLayerCount: Int { layerCount - sparseLayers.count }

  /// Rows of the widest SwiGLU: dense, shared or routed.
  public var widestInner: Int {
    let dense = feedForwards.reduce(0) { widest, kind in
      if case .dense(let inner) = kind { max(widest, inner) } else { widest }
    }
    return max(dense, experts.inner, experts.shared?.inner ?? 0)
  }

  /// The layers that attend to keys and values, in order.
  public var attentions: [Attention] {
    mixers.compactMap { if case .attention(let attention) = $0 { attention } else { nil } }
  }

  /// The layers that attend to compressed positions, in order.
  public var latentAttentions: [LatentAttention] {
    mixers.compactMap { if case .latent(let attention) = $0 { attention } else { nil } }
  }

  /// The layers whose memory does not grow, in order.
  public var deltaNets: [DeltaNet] {
    mixers.compactMap { if case .deltaNet(let net) = $0 { net } else { nil } }
  }
}
