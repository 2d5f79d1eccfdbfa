extension ModelConfiguration {
  /// Attention over a compressed cache (multi-head latent attention): each position keeps one latent
  /// vector and one rotated key for all heads (docs/latent-attention.md).
  public struct LatentAttention: Sendable, Equatable {
    public var headCount: Int
    /// Numbers of the latent vector (`kv_lora_rank`).
    public var rank: Int
    /// Queries go through this many numbers first; nil where they do not.
    public var queryRank: Int?
    /// Dimensions of a head's query and key that are not rotated, that are, and of its value.
    public var plainDimension: Int
    public var rotatedDimension: Int
    public var valueDimension: Int
    /// Biases on the projections that read or write the hidden state.
    public var hasBias: Bool
    /// Epsilon of the norms inside: the reference keeps its default whatever the model's is.
    public var epsilon: Float = 1e-6
    public var rope: RotaryEmbedding
    /// What q·k is multiplied by.
    public var scale: Float

    public init(
      headCount: Int, rank: Int, queryRank: Int?, plainDimension: Int, rotatedDimension: Int,
      valueDimension: Int, hasBias: Bool, rope: RotaryEmbedding, scale: Float
    ) {
      self.headCount = headCount
      self.rank = rank
      self.queryRank = queryRank
      self.plainDimension = plainDimension
      self.rotatedDimension = rotatedDimension
      self.valueDimension = valueDimension
      self.hasBias = hasBias
      self.rope = rope
      self.scale = scale
    }

    public var headDimension: Int { plainDimension + rotatedDimension }
    public var queryRows: Int { headCount * headDimension }
    public var valueRows: Int { headCount * valueDimension }
    public var compressedRows: Int { rank + rotatedDimension }
  }
}
