import Support

extension BenchReport {
  /// llama-bench's table with what a streamed model needs beside it, and notes below.
  ///
  /// - Parameter phases: adds a second table of where the time went.
  public func markdown(phases: Bool = false) -> String {
    var lines = Self.table(
      [
        "model", "size", "params", "threads", "budget", "cache", "tokens", "test", "t/s", "hits",
        "GB/token", "I/O wait", "read GB/s", "disk GB/s", "peak",
      ],
      leftAligned: ["model", "cache", "tokens"],
      rows: rows.map { row in
        [
          "\(store.name) \(store.scheme)", ByteCount.format(store.bytes),
          Self.count(store.parameterCount), "\(threadCount)", ByteCount.format(budgetBytes),
          row.cache.rawValue, row.tokenKind, row.test.name, Self.rate(row),
          row.hitRate.map { Self.percent($0) } ?? "-",
          Self.small(row.bytesPerToken / 1e9), Self.percent(row.waitShare),
          Self.small(row.readBytesPerSecond / 1e9),
          disk.map { ByteCount.significant($0.bytesPerSecond / 1e9) } ?? "-",
          ByteCount.format(row.peakBytes),
        ]
      })
    if phases {
      lines.append("")
      let names = PhaseTimes().named.map { $0.name == "io_wait" ? "I/O wait" : $0.name }
      lines += Self.table(
        ["test", "cache", "ms/token"] + names, leftAligned: ["test", "cache"],
        rows: rows.map { row in
          let times = row.phases
          return [
            row.test.name, row.cache.rawValue,
            Self.small(row.seconds * 1000 / Double(max(row.tokenCount, 1))),
          ]
            + times.named.map {
              times.total == 0 ? "-" : Self.percent(Double($0.nanoseconds) / Double(times.total))
            }
        })
    }
    lines.append("")
    lines += notes.map { "- \($0)" }
    return lines.joined(separator: "\n")
  }

  /// What the table leaves out, one sentence each.
  public var notes: [String] {
    var notes = [
      "tokens: \(text)"
        + (rows.contains(where: \.repeatsText) ? " (too short for all repetitions: it repeats)" : ""),
      "cache: \(slotCount) of \(recordCount) experts, \(policy.rawValue), prefetch "
        + (prefetch ? "on" : "off") + "; chunks of \(chunkLength)",
      "engine: \(kernels), activations \(activations.rawValue); reads: \(streaming)",
      "peak: \(memorySource)",
    ]
    if let disk {
      let note = disk.note.map { "; \($0)" } ?? ""
      notes.append("disk: random reads, \(disk.direct ? "O_DIRECT" : "buffered"), \(disk.backend)\(note)")
    }
    return notes
  }

  private static func table(_ titles: [String], leftAligned: Set<String>, rows: [[String]])
    -> [String]
  {
    let widths = titles.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    func line(_ cells: [String]) -> String {
      "|" + cells.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        return " " + (leftAligned.contains(titles[column]) ? cell + padding : padding + cell) + " |"
      }.joined()
    }
    let rule =
      "|" + titles.indices.map { column in
        let dashes = String(repeating: "-", count: widths[column] + 1)
        return leftAligned.contains(titles[column]) ? " " + dashes + "|" : dashes + ":|"
      }.joined()
    return [line(titles), rule] + rows.map(line)
  }

  private static func rate(_ row: BenchRow) -> String {
    let rate = row.rate
    return "\(ByteCount.fixed(rate.mean, digits: 2)) ± \(ByteCount.fixed(rate.deviation, digits: 2))"
  }

  /// Three figures also below one: `0.0123`.
  private static func small(_ value: Double) -> String {
    value > 0 && value < 0.1
      ? ByteCount.fixed(value, digits: value < 0.01 ? 5 : 4) : ByteCount.significant(value)
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
