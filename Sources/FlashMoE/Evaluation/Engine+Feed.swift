import Support
import WeightStore

extension Engine {
  /// Runs given tokens from an empty context and measures: prefill, or decode of a fixed text.
  ///
  /// - Parameters:
  ///   - oneByOne: each token is a step of its own with logits after it, as in decode, only that
  ///     the next token is the text's and not the model's choice.  Otherwise the tokens go in
  ///     chunks and logits are computed after the last.
  ///   - speculation: whether tokens that go one by one are drafted from the text so far; a draft is
  ///     accepted as far as it equals the text.
  ///   - isCancelled: asked between steps.
  /// - Throws: `Failure` as a generation does; `.cancelled` when asked to stop.
  public func feed(
    _ tokens: [Int32], oneByOne: Bool, speculation: Speculation = .off,
    draftLimit: Int = Speculation.draftLimit,
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws(Failure) -> GenerationSummary.Stage {
    guard !tokens.isEmpty else { throw Failure(.usage, "token ids", "there are none") }
    try Speculation.validate(draftLimit: draftLimit)
    return try withCore { core throws(Failure) in
      core.startOver()
      let start = Clock.nanoseconds()
      var lastRow = 0
      var steps = DraftedSteps(
        core, after: [], row: 0, mode: speculation, draftLimit: draftLimit)
      if oneByOne {
        for (at, token) in tokens.enumerated() {
          if isCancelled() { throw Failure(.cancelled, "measurement", "interrupted") }
          let row = try steps.advance(token, following: tokens.count - at - 1)
          _ = core.decoder.logits(row: row)
        }
        steps.finish()
      } else {
        try core.process(tokens) { _, rows throws(Failure) in
          if isCancelled() { throw Failure(.cancelled, "measurement", "interrupted") }
          lastRow = rows - 1
          return true
        }
        _ = core.decoder.logits(row: lastRow)
      }
      var stage = core.stage(tokens: tokens.count, since: start)
      stage.speculation = steps.statistics
      return stage
    }
  }

  /// Empties the expert cache and what its policy and the draft governor learned: the next token
  /// starts cold.
  public func emptyExpertCache() throws(Failure) {
    try withCore { core in
      core.decoder.streamer?.empty()
      core.resetDrafts()
    }
  }

  /// Runs `tokens[range]` after the tokens before it and keeps the logits of `wanted` positions.
  ///
  /// - Parameter buffer: row `position - range.lowerBound` gets the logits after `position`.
  func collectLogits(
    _ tokens: [Int32], _ range: Range<Int>, wanted: Range<Int>, into buffer: LogitBuffer
  ) throws(Failure) {
    try withCore { core throws(Failure) in
      core.rewind(to: range.lowerBound)
      guard core.context.count == range.lowerBound else {
        throw Failure(.usage, "engine", "another generation used it in the middle of a text")
      }
      try core.process(Array(tokens[range])) { start, rows in
        for row in 0..<rows where wanted.contains(range.lowerBound + start + row) {
          let logits = core.decoder.logits(row: row)
          buffer.row(start + row).update(
            from: logits.baseAddress.unsafelyUnwrapped, count: logits.count)
        }
        return true
      }
    }
  }
}

/// Logits of consecutive positions, [rows][V].
///
/// Written on an engine's thread while the owner waits for it, and read by the owner afterwards.
final class LogitBuffer: @unchecked Sendable {
  let rowCount: Int
  let vocabularySize: Int
  private let values: UnsafeMutablePointer<Float>

  init(rowCount: Int, vocabularySize: Int) {
    self.rowCount = rowCount
    self.vocabularySize = vocabularySize
    values = .allocate(capacity: rowCount * vocabularySize)
  }

  deinit { values.deallocate() }

  func row(_ index: Int) -> UnsafeMutablePointer<Float> {
    precondition(index >= 0 && index < rowCount)
    return values + index * vocabularySize
  }
}
