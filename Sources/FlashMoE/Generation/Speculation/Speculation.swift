import Support

/// Whether text that repeats itself is drafted from what was said before.
///
/// A draft never changes a token: it is verified by the model, and the sampler draws as it would
/// without.
public enum Speculation: String, Sendable, CaseIterable {
  /// Where measured times and measured acceptance say that it pays.
  case auto
  /// Whenever the last tokens were seen before.
  case lookup
  case off

  /// A step has at most 16 rows: the last token and this many drafted ones.
  public static let draftLimit = 15

  /// - Throws: `Failure(.usage)` naming the flag.
  static func validate(draftLimit: Int) throws(Failure) {
    guard (0...Self.draftLimit).contains(draftLimit) else {
      throw Failure(
        .usage, "--draft-max", "\(draftLimit); it must be from 0 to \(Self.draftLimit)")
    }
  }
}

/// What drafting did in a stage.
public struct SpeculationStatistics: Sendable, Equatable {
  /// Steps of the stage, plain ones included.
  public var steps = 0
  /// Steps with a draft.
  public var draftedSteps = 0
  public var proposedTokens = 0
  public var acceptedTokens = 0

  public init() {}

  mutating func add(_ other: SpeculationStatistics) {
    steps += other.steps
    draftedSteps += other.draftedSteps
    proposedTokens += other.proposedTokens
    acceptedTokens += other.acceptedTokens
  }

  /// Tokens the stage went on by, for each step; 1 without drafts.
  public var tokensPerStep: Double {
    steps == 0 ? 0 : Double(steps + acceptedTokens) / Double(steps)
  }
  /// Share of drafted tokens that were accepted; nil when none was drafted.
  public var acceptance: Double? {
    proposedTokens == 0 ? nil : Double(acceptedTokens) / Double(proposedTokens)
  }

  /// `41 of 60 drafted tokens accepted, 1.85 tokens a step`.
  public var summary: String {
    guard proposedTokens > 0 else { return "nothing drafted" }
    return "\(acceptedTokens) of \(proposedTokens) drafted tokens accepted, "
      + "\(ByteCount.fixed(tokensPerStep, digits: 2)) tokens a step"
  }
}
