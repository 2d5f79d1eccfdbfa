extension ModelConfiguration {
  /// Routed experts, the same in all layers that have them.
  public struct Experts: Sendable, Equatable {
    /// What lies between an expert's two products.
    public enum Activation: Sendable, Equatable {
      /// silu(gate) · up
      case swiglu
      /// gate · sigmoid(α gate) · (up + 1), gate at most `limit`, up between ± `limit`.
      case clampedSwiGLU(alpha: Float, limit: Float)
    }

    /// An expert every token goes through.
    public struct Shared: Sendable, Equatable {
      public var inner: Int
      /// Whether its output is multiplied by the sigmoid of a learned product with the input.
      public var isGated: Bool

      public init(inner: Int, isGated: Bool) {
        self.inner = inner
        self.isGated = isGated
      }
    }

    public var count: Int
    /// Experts a token goes through: the trained top-k.
    public var perToken: Int
    public var inner: Int
    public var routing: Routing
    public var activation = Activation.swiglu
    /// Biases on gate, up and down of every routed expert.
    public var hasBias = false
    public var shared: Shared?

    public init(count: Int, perToken: Int, inner: Int, routing: Routing) {
      self.count = count
      self.perToken = perToken
      self.inner = inner
      self.routing = routing
    }
  }

  /// How a token's experts and their weights follow from the router's logits.
  public struct Routing: Sendable, Equatable {
    public enum Rule: Sendable, Equatable {
      /// Softmax over all experts, then the k largest.
      case softmax
      /// The k largest logits, then softmax over those.
      case softmaxOfChosen
      /// Sigmoid of each expert's logit, then the k largest.
      case sigmoid
      /// Two experts, each weighed by a softmax over the experts within 2 · `jitter` of the best
      /// one left (Phi-3.5-MoE).
      case sparseMixer(jitter: Float)
    }

    /// Experts come in equal groups; only those of the best groups are chosen from.
    public struct Groups: Sendable, Equatable {
      public enum Score: Sendable, Equatable {
        case best
        case sumOfBestTwo
      }

      public var count: Int
      public var kept: Int
      public var score: Score

      public init(count: Int, kept: Int, score: Score) {
        self.count = count
        self.kept = kept
        self.score = score
      }
    }

    public var rule: Rule
    /// Whether the chosen experts' weights are scaled to sum to one.
    public var normalizes: Bool
    /// What the weights are multiplied by last.
    public var scale: Float = 1
    /// A bias on the router's logits.
    public var hasBias = false
    /// A learned addition to the scores that decides who is chosen and not with which weight.
    public var hasCorrection = false
    public var groups: Groups?

    public init(_ rule: Rule, normalizes: Bool) {
      self.rule = rule
      self.normalizes = normalizes
    }
  }
}
