import Support

/// How far one model's predictions are from another's on the same text.
public struct Divergence: Sendable, Equatable {
  /// Index of the reference among the evaluated models.
  public var reference: Int
  /// KL(reference ‖ model) of each scored token, in nats: mean, spread, maximum.
  public var divergence = RunningMean()
  /// The model's negative log-likelihood minus the reference's, token by token, in nats.
  public var excess = RunningMean()
  /// Tokens for which both think the same next token likeliest.
  public var agreements = 0

  public init(reference: Int) { self.reference = reference }

  public var topAgreement: Double {
    divergence.count == 0 ? 0 : Double(agreements) / Double(divergence.count)
  }
}

/// How well one model predicts a text.
public struct LikelihoodResult: Sendable, Equatable {
  /// Negative log-likelihood of each scored token, in nats.
  public var loss = RunningMean()
  /// One entry for each comparison asked for.
  public var divergences: [Divergence] = []
  public var windowCount = 0
  /// Time in this model's forward passes.
  public var seconds = 0.0

  public init() {}

  /// exp of the mean negative log-likelihood.
  public var perplexity: Double { exponential(loss.mean) }
  /// First order: perplexity × standard error of the mean.
  public var perplexityError: Double { perplexity * loss.standardError }
}

/// How far an evaluation is.
public struct EvaluationProgress: Sendable {
  /// Tokens that went through all models, and how many will have.
  public var tokens: Int
  public var totalTokens: Int
  public var seconds: Double
  /// Of the first model, so far.
  public var perplexity: Double

  public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
  public var secondsLeft: Double? {
    tokens == 0 ? nil : seconds / Double(tokens) * Double(totalTokens - tokens)
  }
}
