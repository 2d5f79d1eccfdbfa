import Support

/// Decoding in steps of the last token and a draft of what follows it.
///
/// Whoever decodes hands in each token it settled on and gets the row with the logits after it.
/// Whether that row was computed ahead as a draft or by a step of its own makes no difference to
/// a bit of it.
struct DraftedSteps {
  private let core: EngineCore
  private let mode: Speculation
  private let draftLimit: Int
  /// The rows of the last step: a settled token, then its draft.
  private var rows: [Int32] = []
  /// The row whose logits are being looked at.
  private var row: Int
  /// Tokens of the context before the last step.
  private var start: Int
  private var matchLength = 0
  private(set) var statistics = SpeculationStatistics()

  /// Goes on after `history`, all of which is in the engine's context.
  ///
  /// - Parameter row: the row of the last forward pass with the logits after it.
  init(_ core: EngineCore, after history: [Int32], row: Int, mode: Speculation, draftLimit: Int) {
    self.core = core
    self.mode = mode
    self.draftLimit = min(draftLimit, core.decoder.stepRows - 1)
    self.row = row
    start = core.context.count
    rows.reserveCapacity(Speculation.draftLimit + 1)
    if isDrafting {
      core.draftIndex.removeAll()
      for token in history { core.draftIndex.append(token) }
    }
  }

  private var isDrafting: Bool { mode != .off && draftLimit > 0 }

  /// Tokens settled so far.
  var tokenCount: Int { statistics.steps + statistics.acceptedTokens }

  /// Settles the next token; returns the row with the logits after it.
  ///
  /// - Parameter following: tokens that may be settled after this one; more are not drafted.
  /// - Throws: what a forward pass throws; the context then ends before this token.
  mutating func advance(_ token: Int32, following: Int) throws(Failure) -> Int {
    if isDrafting { core.draftIndex.append(token) }
    let hasNext = row + 1 < rows.count
    if hasNext, rows[row + 1] == token {
      row += 1
      statistics.acceptedTokens += 1
      return row
    }
    close(judged: hasNext ? row + 1 : row)
    start = core.context.count
    rows.append(token)
    propose(following: following)
    let begin = Clock.nanoseconds()
    do throws(Failure) {
      try core.process(rows)
    } catch {
      rows.removeAll(keepingCapacity: true)
      throw error
    }
    core.draftGovernor.stepped(rows: rows.count, nanoseconds: Clock.nanoseconds() &- begin)
    statistics.steps += 1
    row = 0
    return row
  }

  /// Ends the last step where nothing follows: what was not settled leaves the context.
  mutating func finish() { close(judged: row) }

  private mutating func close(judged: Int) {
    guard !rows.isEmpty else { return }
    core.rewind(to: start + row + 1)
    if rows.count > 1, core.draftSource == nil {
      core.draftGovernor.judged(matchLength: matchLength, accepted: row, judged: judged)
    }
    rows.removeAll(keepingCapacity: true)
  }

  /// Appends a draft to the step's rows.
  private mutating func propose(following: Int) {
    let limit = min(draftLimit, following, core.plan.contextLength - start - 1)
    guard isDrafting, limit > 0 else { return }
    if let source = core.draftSource {
      rows += source(core.draftIndex.tokens, limit).prefix(limit)
    } else if let match = core.draftIndex.match() {
      matchLength = match.length
      let count =
        mode == .lookup
        ? limit : core.draftGovernor.length(matchLength: match.length, limit: limit)
      core.draftIndex.draft(match, count: count, into: &rows)
    }
    guard rows.count > 1 else { return }
    statistics.draftedSteps += 1
    statistics.proposedTokens += rows.count - 1
  }
}
