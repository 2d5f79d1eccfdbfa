import FlashMoE
import Support
import WeightStore

/// A generation's statistics, for people and for machines.
struct GenerationReport {
  let summary: GenerationSummary
  let engine: Engine
  let policy: CachePolicyKind

  init(_ summary: GenerationSummary, engine: Engine) {
    self.summary = summary
    self.engine = engine
    policy = engine.options.streamer.policy
  }

  // MARK: For machines

  /// Sums over both stages, what the engine is, and each stage by itself.
  var json: JSONObject {
    let stages = [summary.prefill, summary.decode]
    var object = Self.counts(stages)
    object["prefill_seconds"] = .number(summary.prefill.seconds)
    object["decode_seconds"] = .number(summary.decode.seconds)
    object["seconds"] = .number(summary.prefill.seconds + summary.decode.seconds)
    object["prompt_tokens"] = .integer(summary.promptTokens.count)
    object["reused_tokens"] = .integer(summary.reusedTokens)
    object["prompt_tokens_per_second"] = .number(summary.prefill.tokensPerSecond)
    object["tokens_per_second"] = .number(summary.decode.tokensPerSecond)
    object["seed"] = .string(String(summary.seed))
    object["peak_bytes"] = .integer(summary.memory.peakBytes)
    object["peak_source"] = .string(summary.memory.source)
    object["limit_bytes"] = .optional(summary.memory.limitBytes)
    object["budget_bytes"] = .integer(summary.budgetBytes)
    object["planned_bytes"] = .integer(engine.plan.plannedBytes)
    object["context"] = .integer(engine.plan.contextLength)
    object["chunk"] = .integer(engine.plan.chunkLength)
    object["slots"] = .integer(engine.plan.slotCount)
    object["records"] = .integer(engine.plan.recordCount)
    object["warmed_records"] = .integer(engine.warmedRecords)
    object["phases"] = .object(Self.phases(stages))
    object["backend"] = .string(engine.streamingDescription)
    object["kernels"] = .string(engine.kernelDescription)
    object["policy"] = .string(policy.rawValue)
    object["prefetch"] = .bool(engine.options.streamer.prefetch)
    object["speculation"] = .object(Self.speculation(summary.decode.speculation))
    object["activations"] = .string(engine.activations.rawValue)
    object["kv"] = .string(engine.plan.keyValueType.rawValue)
    object["threads"] = .integer(engine.options.threadCount)
    object["placement"] = .string(engine.placementDescription)
    object.note(engine.store.manifest.aliasNote)
    object["prefill"] = .object(Self.stage(summary.prefill))
    object["decode"] = .object(Self.stage(summary.decode))
    return object
  }

  private static func stage(_ stage: GenerationSummary.Stage) -> JSONObject {
    var object: JSONObject = [
      "tokens": .integer(stage.tokens), "seconds": .number(stage.seconds),
      "tokens_per_second": .number(stage.tokensPerSecond),
    ]
    for (key, value) in counts([stage]).members { object[key] = value }
    object["phases"] = .object(phases([stage]))
    return object
  }

  private static func speculation(_ drafts: SpeculationStatistics) -> JSONObject {
    [
      "steps": .integer(drafts.steps), "drafted_steps": .integer(drafts.draftedSteps),
      "drafted_tokens": .integer(drafts.proposedTokens),
      "accepted_tokens": .integer(drafts.acceptedTokens),
      "tokens_per_step": .number(drafts.tokensPerStep),
    ]
  }

  private static func counts(_ stages: [GenerationSummary.Stage]) -> JSONObject {
    func sum(_ field: KeyPath<StreamStatistics, Int>) -> JSONValue {
      .integer(stages.reduce(0) { $0 + $1.streaming[keyPath: field] })
    }
    let lookups = stages.reduce(0) { $0 + $1.streaming.lookups }
    let hits = stages.reduce(0) { $0 + $1.streaming.hits + $1.streaming.hitsInFlight }
    return [
      "lookups": sum(\.lookups), "hits": sum(\.hits), "hits_in_flight": sum(\.hitsInFlight),
      "misses": sum(\.misses),
      "hit_rate": lookups > 0 ? .number(Double(hits) / Double(lookups)) : .null,
      "demand_bytes": sum(\.demandBytes), "speculative_bytes": sum(\.speculativeBytes),
      "used_bytes": sum(\.speculativeUsedBytes), "warm_bytes": sum(\.warmBytes),
      "read_bytes": .integer(stages.reduce(0) { $0 + readBytes($1) }),
      "reads": sum(\.reads), "evictions": sum(\.evictions),
      "prefetch_suspended": sum(\.prefetchSuspended),
      "io_wait_seconds": .number(
        stages.reduce(0) { $0 + Double($1.streaming.waitNanoseconds) / 1e9 }),
    ]
  }

  private static func phases(_ stages: [GenerationSummary.Stage]) -> JSONObject {
    func sum(_ field: KeyPath<PhaseTimes, UInt64>) -> Double {
      stages.reduce(0) { $0 + Double($1.times[keyPath: field]) / 1e9 }
    }
    let parts = [
      sum(\.attention), sum(\.router), sum(\.inputOutputWait), sum(\.experts), sum(\.head),
    ]
    let total = max(sum(\.total), parts.reduce(0, +))
    return [
      "attention_seconds": .number(parts[0]), "router_seconds": .number(parts[1]),
      "io_wait_seconds": .number(parts[2]), "expert_seconds": .number(parts[3]),
      "head_seconds": .number(parts[4]),
      "other_seconds": .number(total - parts.reduce(0, +)), "total_seconds": .number(total),
    ]
  }

  private static func readBytes(_ stage: GenerationSummary.Stage) -> Int {
    stage.streaming.demandBytes + stage.streaming.speculativeBytes + stage.streaming.warmBytes
  }

  // MARK: For people

  /// A compact block of lines for stderr.
  var text: String {
    var table = Table(.left, .right, .left)
    func add(_ name: String, _ stage: GenerationSummary.Stage) {
      table.add(
        name, ByteCount.significant(stage.tokensPerSecond) + " tok/s", description(of: stage))
    }
    add("prefill", summary.prefill)
    add("decode", summary.decode)
    let drafts = summary.decode.speculation
    let peak = summary.memory.peakBytes
    let share = Double(peak) / Double(max(summary.budgetBytes, 1)) * 100
    table.add(
      "memory", ByteCount.format(peak),
      "peak (\(summary.memory.source)), \(ByteCount.fixed(share, digits: 0)) % of the budget of "
        + ByteCount.format(summary.budgetBytes))
    var lines = table.lines(indent: 0)
    if drafts.proposedTokens > 0 { lines.append("drafts       " + drafts.summary) }
    let times = timeShares
    if !times.isEmpty { lines.append("decode time  " + times) }
    if let note = engine.store.manifest.aliasNote { lines.append(note) }
    return lines.map(Style.dimmed).joined(separator: "\n")
  }

  private func description(of stage: GenerationSummary.Stage) -> String {
    var parts = ["\(stage.tokens) tokens in \(ByteCount.significant(stage.seconds)) s"]
    if stage.streaming.lookups > 0 {
      parts.append("\(ByteCount.fixed(stage.streaming.hitRate * 100, digits: 1)) % hits")
    }
    if stage.tokens > 0 {
      parts.append("\(ByteCount.format(Self.readBytes(stage) / stage.tokens)) read/token")
    }
    if stage.seconds > 0 {
      let wait = Double(stage.streaming.waitNanoseconds) / 1e9 / stage.seconds * 100
      parts.append("\(ByteCount.fixed(wait, digits: 0)) % I/O wait")
    }
    return parts.joined(separator: ", ")
  }

  private var timeShares: String {
    let phases = Self.phases([summary.decode])
    guard let total = phases["total_seconds"]?.double, total > 0 else { return "" }
    let names = [
      ("experts", "expert_seconds"), ("I/O wait", "io_wait_seconds"),
      ("attention", "attention_seconds"), ("router", "router_seconds"), ("head", "head_seconds"),
      ("other", "other_seconds"),
    ]
    return names.map { name, key in
      let share = (phases[key]?.double ?? 0) / total * 100
      return "\(name) \(ByteCount.fixed(share, digits: 0)) %"
    }.joined(separator: " · ")
  }
}
