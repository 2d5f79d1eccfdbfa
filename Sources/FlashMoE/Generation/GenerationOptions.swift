/// What to generate and when to stop.
public struct GenerationOptions: Sendable {
  /// Tokens to generate at most; nil goes on to the end of the context.
  public var maximumTokens: Int?
  public var sampling: SamplingOptions
  /// Text that ends generation; it is not part of the result.
  public var stopStrings: [String]
  /// Tokens that end generation; nil takes the model's own.
  public var stopTokens: [Int32]?
  /// Goes on past end tokens (benchmarks).
  public var ignoresEndTokens: Bool
  /// Whether tokens are drafted from earlier text; it changes time, never a token.
  public var speculation: Speculation
  /// Tokens drafted at a time at most, up to 15.
  public var draftLimit: Int

  public init(
    maximumTokens: Int? = 128, sampling: SamplingOptions = .greedy, stopStrings: [String] = [],
    stopTokens: [Int32]? = nil, ignoresEndTokens: Bool = false, speculation: Speculation = .auto,
    draftLimit: Int = Speculation.draftLimit
  ) {
    self.maximumTokens = maximumTokens
    self.sampling = sampling
    self.stopStrings = stopStrings
    self.stopTokens = stopTokens
    self.ignoresEndTokens = ignoresEndTokens
    self.speculation = speculation
    self.draftLimit = draftLimit
  }
}

public enum Prompt: Sendable {
  case text(String, parsesSpecialTokens: Bool = true)
  case tokens([Int32])
}

/// One step of a generation.
public struct GeneratedToken: Sendable, Equatable {
  /// nil for text that was held back for a stop string and belongs to earlier tokens.
  public var id: Int32?
  /// Text that is now final: never half a character, empty while bytes are missing.
  public var text: String
}

public enum FinishReason: String, Sendable {
  /// An end token or a stop string.
  case stop
  /// The token limit.
  case length
  /// The context is full.
  case context
  case cancelled
}
