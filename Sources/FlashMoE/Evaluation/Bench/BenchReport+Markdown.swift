import Support

extension BenchReport {
  /// llama-bench's table with what a streamed model needs beside it, and notes below.
  ///
  /// - Parameter phases: adds a second table of where the time went.
  public func markdown(phases: Bool = false) -> String {
    var table = MarkdownTable(
      [
        "model", "size", "params", "threads", "budget", "cache", "tokens", "test", "t/s", "hits",
        "GB/token", "I/O wait", "read GB/s", "busy GB/s", "disk GB/s", "peak",
      ],
      leftAligned: ["model", "cache", "tokens"])
    for row in rows {
      table.rows.append(
        [
          "\(store.name) \(store.scheme)" + (store.aliasNote == nil ? "" : " (aliased)"),
          ByteCount.format(store.bytes),
          Self.count(store.parameterCount), "\(threadCount)", ByteCount.format(budgetBytes),
          row.cache.rawValue, row.tokenKind, row.test.name, Self.rate(row),
          row.hitRate.map { Self.percent($0) } ?? "-",
          Self.small(row.bytesPerToken / 1e9), Self.percent(row.waitShare),
          Self.small(row.readBytesPerSecond / 1e9), Self.small(row.busyBytesPerSecond / 1e9),
          disk.map { ByteCount.significant($0.bytesPerSecond / 1e9) } ?? "-",
          ByteCount.format(row.peakBytes),
        ])
    }
    var lines = table.lines
    if phases {
      lines.append("")
      let names = PhaseTimes().named.map { $0.name == "io_wait" ? "I/O wait" : $0.name }
      var table = MarkdownTable(
        ["test", "cache", "ms/token"] + names, leftAligned: ["test", "cache"])
      for row in rows {
        let times = row.phases
        let shares = times.named.map { phase in
          times.total == 0 ? "-" : Self.percent(Double(phase.nanoseconds) / Double(times.total))
        }
        let milliseconds = row.seconds * 1000 / Double(max(row.tokenCount, 1))
        table.rows.append([row.test.name, row.cache.rawValue, Self.small(milliseconds)] + shares)
      }
      lines += table.lines
    }
    lines.append("")
    lines += notes.map { "- \($0)" }
    return lines.joined(separator: "\n")
  }

  /// What the table leaves out, one sentence each.
  public var notes: [String] {
    var repeating: [String] = []
    for row in rows where row.repeatsText && !repeating.contains(row.test.name) {
      repeating.append(row.test.name)
    }
    var notes = [
      "tokens: \(text)"
        + (repeating.isEmpty
          ? ""
          : "; too short for a passage a repetition, so it repeats in \(repeating.joined(separator: ", "))"),
      "cache: \(slotCount) of \(recordCount) experts, \(policy.rawValue), prefetch "
        + (prefetch ? "on" : "off") + "; chunks of \(chunkLength)",
      "engine: \(kernels), activations \(activations.rawValue); reads: \(streaming)",
      "peak: \(memorySource)",
    ]
    if speculation != .off { notes.append("speculation: \(speculation.rawValue)" + draftNote) }
    if let note = store.aliasNote { notes.insert(note, at: 0) }
    if let disk {
      let note = disk.note.map { "; \($0)" } ?? ""
      notes.append(
        "disk: random reads, \(disk.direct ? "O_DIRECT" : "buffered"), \(disk.backend)\(note)")
    }
    return notes
  }

  private var draftNote: String {
    rows.filter { $0.test.kind == .decode }.map { row in
      "; \(row.test.name) \(row.cache.rawValue): \(row.speculation.summary)"
    }.joined()
  }

  private static func rate(_ row: BenchRow) -> String {
    let rate = row.rate
    return
      "\(ByteCount.fixed(rate.mean, digits: 2)) ± \(ByteCount.fixed(rate.deviation, digits: 2))"
  }

  /// Three figures also below one, and nothing is not the same as little: `0.0123`, `0`.
  private static func small(_ value: Double) -> String {
    guard value > 0 else { return "0" }
    guard value < 0.1 else { return ByteCount.significant(value) }
    return value < 0.00001 ? "<0.00001" : ByteCount.fixed(value, digits: value < 0.01 ? 5 : 4)
  }

  private static func percent(_ share: Double) -> String {
    ByteCount.fixed(share * 100, digits: 1) + " %"
  }

  private static func count(_ parameters: Int) -> String {
    parameters >= 1_000_000_000
      ? ByteCount.significant(Double(parameters) / 1e9) + " B"
      : ByteCount.significant(Double(parameters) / 1e6) + " M"
  }
}
