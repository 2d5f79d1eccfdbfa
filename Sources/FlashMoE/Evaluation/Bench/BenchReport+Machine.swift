import Support

extension BenchReport {
  /// Everything, samples included.
  public var json: JSONObject {
    var object: JSONObject = [
      "model": .string(store.name),
      "store": .string(storePath),
      "scheme": .string(store.scheme),
      "size_bytes": .integer(store.bytes),
      "parameters": .integer(store.parameterCount),
      "bits_per_weight": .number(store.bitsPerWeight),
      "threads": .integer(threadCount),
      "placement": .string(placement),
      "budget_bytes": .integer(budgetBytes),
      "context": .integer(contextLength),
      "chunk": .integer(chunkLength),
      "slots": .integer(slotCount),
      "records": .integer(recordCount),
      "activations": .string(activations.rawValue),
      "policy": .string(policy.rawValue),
      "prefetch": .bool(prefetch),
      "speculation": .string(speculation.rawValue),
      "kernels": .string(kernels),
      "reads": .string(streaming),
      "tokens": .string(text),
      "repetitions": .integer(repetitions),
      "peak_bytes": .integer(highestPeakBytes),
      "peak_source": .string(memorySource),
    ]
    if let note = store.aliasNote { object["aliased"] = .string(note) }
    object["disk"] =
      disk.map { disk in
        .object([
          "bytes_per_second": .number(disk.bytesPerSecond),
          "direct": .bool(disk.direct),
          "backend": .string(disk.backend),
          "note": disk.note.map { .string($0) } ?? .null,
        ])
      } ?? .null
    object["rows"] = .array(rows.map { .object(Self.json($0)) })
    return object
  }

  private static func json(_ row: BenchRow) -> JSONObject {
    var object = JSONObject()
    for (name, value) in cells(row) { object[name] = value }
    object["samples"] = .array(row.samples.map { .number($0.tokensPerSecond) })
    object["samples_seconds"] = .array(row.samples.map { .number($0.seconds) })
    return object
  }

  /// What a row says about itself, for `json` and `csv` alike.
  private static func cells(_ row: BenchRow) -> [(name: String, value: JSONValue)] {
    let rate = row.rate
    let count = Double(max(row.samples.count, 1))
    var cells: [(name: String, value: JSONValue)] = [
      ("test", .string(row.test.name)),
      ("cache", .string(row.cache.rawValue)),
      ("token_kind", .string(row.tokenKind)),
      ("text_repeats", .bool(row.repeatsText)),
      ("tokens_per_second", .number(rate.mean)),
      ("tokens_per_second_deviation", .number(rate.deviation)),
      ("seconds", .number(row.seconds / count)),
      ("lookups", .integer(row.lookups)),
      ("hits", .integer(row.hits)),
      ("hit_rate", row.hitRate.map { .number($0) } ?? .null),
      ("demand_bytes", .integer(row.samples.reduce(0) { $0 + $1.streaming.demandBytes })),
      ("speculative_bytes", .integer(row.samples.reduce(0) { $0 + $1.streaming.speculativeBytes })),
      (
        "speculative_used_bytes",
        .integer(row.samples.reduce(0) { $0 + $1.streaming.speculativeUsedBytes })
      ),
      ("bytes_per_token", .number(row.bytesPerToken)),
      ("read_bytes_per_second", .number(row.readBytesPerSecond)),
      ("busy_bytes_per_second", .number(row.busyBytesPerSecond)),
      ("io_wait_share", .number(row.waitShare)),
      ("steps", .integer(row.speculation.steps)),
      ("drafted_tokens", .integer(row.speculation.proposedTokens)),
      ("accepted_tokens", .integer(row.speculation.acceptedTokens)),
      ("peak_bytes", .integer(row.peakBytes)),
    ]
    // Seconds a repetition, so that columns add up to `total_seconds`.
    let times = row.phases
    for (name, nanoseconds) in times.named {
      cells.append((name + "_seconds", .number(Double(nanoseconds) / 1e9 / count)))
    }
    cells.append(("total_seconds", .number(Double(times.total) / 1e9 / count)))
    return cells
  }

  /// One line a row with the model in front (RFC 4180, line feeds only).
  public var csv: String {
    let shared: [(name: String, value: JSONValue)] = [
      ("model", .string(store.name)), ("scheme", .string(store.scheme)),
      ("size_bytes", .integer(store.bytes)), ("parameters", .integer(store.parameterCount)),
      ("threads", .integer(threadCount)), ("budget_bytes", .integer(budgetBytes)),
      ("slots", .integer(slotCount)), ("records", .integer(recordCount)),
      ("policy", .string(policy.rawValue)), ("prefetch", .bool(prefetch)),
      ("speculation", .string(speculation.rawValue)),
      ("activations", .string(activations.rawValue)), ("kernels", .string(kernels)),
      ("reads", .string(streaming)), ("tokens", .string(text)),
      ("disk_bytes_per_second", disk.map { .number($0.bytesPerSecond) } ?? .null),
      ("aliased", store.aliasNote.map { .string($0) } ?? .null),
    ]
    var lines: [String] = []
    for row in rows {
      let cells = shared + Self.cells(row)
      if lines.isEmpty { lines.append(cells.map(\.name).joined(separator: ",")) }
      lines.append(cells.map { Self.field($0.value) }.joined(separator: ","))
    }
    return lines.joined(separator: "\n")
  }

  private static func field(_ value: JSONValue) -> String {
    guard let text = value.string else { return value.isNull ? "" : value.serialized() }
    guard text.contains(where: { ",\"\n\r".contains($0) }) else { return text }
    return "\""
      + text.split(separator: "\"", omittingEmptySubsequences: false)
      .joined(separator: "\"\"") + "\""
  }
}
