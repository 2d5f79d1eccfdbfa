/// Decides how many tokens of a draft are worth their rows, from measured times and acceptance.
///
/// Its decisions change time and bytes, never a token.
struct DraftGovernor {
  /// A draft must promise this much more than plain steps in the same time.
  static let requiredGain = 1.05
  /// Where drafting does not pay, one draft in so many tokens looks whether it does by now.
  static let probeTokens = 32...512
  static let probedLength = 3
  /// Where it does pay, one step in so many is plain, so that there is something to compare with.
  static let draftedRun = 31

  private(set) var times: StepTimes
  private(set) var acceptance = DraftAcceptance()
  private var probeInterval = Self.probeTokens.lowerBound
  private var tokensSinceDraft = 0
  private var draftedSincePlain = 0

  /// - Parameter readsRecords: whether experts come from a disk, where a row's own experts cost most.
  init(readsRecords: Bool) { times = StepTimes(slope: readsRecords ? 0.8 : 0.35) }

  init(_ plan: MemoryPlan) { self.init(readsRecords: plan.slotCount < plan.recordCount) }

  /// How many tokens of a draft to verify, up to `limit`; 0 is a plain step.
  mutating func length(matchLength: Int, limit: Int) -> Int {
    guard limit > 0, times.isReady, draftedSincePlain < Self.draftedRun else { return 0 }
    var best = (length: 0, gain: 0.0)
    acceptance.forEachLength(upTo: limit, matchLength: matchLength) { length, expected in
      let gain = expected / times.multiple(rows: length + 1)
      if gain > best.gain { best = (length, gain) }
    }
    if best.gain >= Self.requiredGain {
      probeInterval = Self.probeTokens.lowerBound
      return best.length
    }
    guard tokensSinceDraft >= probeInterval else { return 0 }
    probeInterval = min(2 * probeInterval, Self.probeTokens.upperBound)
    return min(best.length, Self.probedLength)
  }

  /// A step was made.
  mutating func stepped(rows: Int, nanoseconds: UInt64) {
    times.measured(rows: rows, nanoseconds: nanoseconds)
    draftedSincePlain = rows > 1 ? draftedSincePlain + 1 : 0
    tokensSinceDraft = rows > 1 ? 0 : tokensSinceDraft + 1
  }

  /// A draft was judged as far as `judged` tokens.
  mutating func judged(matchLength: Int, accepted: Int, judged: Int) {
    acceptance.judged(matchLength: matchLength, accepted: accepted, judged: judged)
  }
}
