import Support
import Tokenization

/// One generation on the engine's thread: prefill, then a step at a time.
struct GenerationRun {
  private let core: EngineCore
  private let engine: Engine
  private let options: GenerationOptions
  private let isCancelled: () -> Bool
  private let emit: (GeneratedToken) -> Void
  private var sampler: Sampler
  private var stops: StopMatcher
  private var decoder: StreamDecoder?
  private let endTokens: Set<Int32>
  private(set) var summary = GenerationSummary()

  init(
    core: EngineCore, engine: Engine, options: GenerationOptions,
    isCancelled: @escaping () -> Bool, emit: @escaping (GeneratedToken) -> Void
  ) throws(Failure) {
    self.core = core
    self.engine = engine
    self.options = options
    self.isCancelled = isCancelled
    self.emit = emit
    try Speculation.validate(draftLimit: options.draftLimit)
    sampler = Sampler(
      try options.sampling.validated(), vocabularySize: core.configuration.vocabularySize)
    stops = StopMatcher(options.stopStrings)
    decoder = engine.tokenizer.map { StreamDecoder($0) }
    endTokens = options.ignoresEndTokens ? [] : Set(options.stopTokens ?? engine.endTokens)
    summary.seed = sampler.seed
    summary.budgetBytes = core.plan.budgetBytes
  }

  /// Runs to the end; returns the failure that ended it early, if one did.
  mutating func run(_ prompt: [Int32]) -> Failure? {
    var failure: Failure?
    do throws(Failure) {
      try prefill(prompt)
      if summary.finishReason != .cancelled { try decode() }
    } catch {
      failure = error
    }
    summary.memory = ProcessMemory.current()
    return failure
  }

  private func remedy(forPromptOf count: Int) -> String {
    let most = core.configuration.maximumPositions
    guard count <= most else {
      return "Use a shorter prompt: this model has no more than \(most) positions"
    }
    let wanted = count + min(options.maximumTokens ?? 128, most - count)
    return "Use --ctx \(wanted) or a shorter prompt"
  }

  private mutating func prefill(_ prompt: [Int32]) throws(Failure) {
    guard !prompt.isEmpty else {
      throw Failure(.usage, "prompt", "it is empty", remedy: "Give some text with -p or -f")
    }
    guard prompt.count <= core.plan.contextLength else {
      throw Failure(
        .budget, "prompt",
        "\(prompt.count) tokens where the context holds \(core.plan.contextLength)",
        remedy: remedy(forPromptOf: prompt.count))
    }
    summary.promptTokens = prompt
    core.resetStatistics()
    let start = Clock.nanoseconds()
    let reused = core.reuse(for: prompt)
    summary.reusedTokens = reused
    var cancelled = false
    let isCancelled = isCancelled
    try core.process(Array(prompt[reused...])) { _, _ in
      cancelled = isCancelled()
      return !cancelled
    }
    if cancelled { summary.finishReason = .cancelled }
    summary.prefill = core.stage(tokens: prompt.count - reused, since: start)
  }

  private mutating func decode() throws(Failure) {
    core.resetStatistics()
    let start = Clock.nanoseconds()
    let limit = options.maximumTokens ?? Int.max
    var history = summary.promptTokens
    var row = (summary.promptTokens.count - summary.reusedTokens - 1) % core.plan.chunkLength
    var steps = DraftedSteps(
      core, after: history, row: row, mode: options.speculation, draftLimit: options.draftLimit)
    defer {
      steps.finish()
      summary.decode = core.stage(tokens: steps.tokenCount, since: start)
      summary.decode.speculation = steps.statistics
    }
    summary.finishReason = .length
    while summary.tokens.count < limit {
      if isCancelled() {
        summary.finishReason = .cancelled
        return
      }
      let token = sampler.sample(core.decoder.logits(row: row), history: history)
      if endTokens.contains(token) {
        summary.finishReason = .stop
        break
      }
      summary.tokens.append(token)
      history.append(token)
      if try deliver(token) {
        summary.finishReason = .stop
        return
      }
      guard summary.tokens.count < limit else { break }
      guard history.count <= core.plan.contextLength else {
        summary.finishReason = .context
        break
      }
      // The last token that is wanted needs no step.
      row = try steps.advance(token, following: limit - summary.tokens.count - 1)
    }
    flush()
  }

  /// Hands out a token's text; true when a stop string ended the text.
  private mutating func deliver(_ token: Int32) throws(Failure) -> Bool {
    let piece = try decoder?.append(token) ?? ""
    let (text, stopped) = stops.append(piece)
    emit(GeneratedToken(id: token, text: text))
    return stopped
  }

  /// Text still held back when nothing more can complete a stop string.
  private mutating func flush() {
    let (text, stopped) = stops.append(decoder?.finish() ?? "")
    let rest = stopped ? text : text + stops.finish()
    if !rest.isEmpty { emit(GeneratedToken(id: nil, text: rest)) }
  }
}
