import Support

/// One number, and what it is measured against.
struct Measurement: Sendable {
  var group: Group
  var name: String
  var value: Double
  var unit: Unit
  /// The same quantity at its best, measured in this run; nil where there is none.
  var limit: Double?
  /// What the limit is.
  var limitName: String?
  var note: String?

  enum Group: String, Sendable, CaseIterable {
    case kernels, streamer, cache
    case endToEnd = "end-to-end"
  }

  enum Unit: String, Sendable {
    case bytesPerSecond = "GB/s"
    case operationsPerSecond = "GOP/s"
    case nanoseconds = "ns"
    case tokensPerSecond = "tok/s"

    /// How many of the base unit one of the printed unit holds.
    var scale: Double {
      switch self {
      case .bytesPerSecond, .operationsPerSecond: 1e9
      case .nanoseconds, .tokensPerSecond: 1
      }
    }
  }

  var json: JSONValue {
    .object([
      "group": .string(group.rawValue), "name": .string(name),
      "value": .number(value / unit.scale), "unit": .string(unit.rawValue),
      "limit": limit.map { .number($0 / unit.scale) } ?? .null,
      "limit_name": limitName.map { .string($0) } ?? .null,
      "share_of_limit": limit.map { .number(value / $0) } ?? .null,
      "note": note.map { .string($0) } ?? .null,
    ])
  }
}

/// All measurements of a run, for people and for programs.
struct Report {
  var threadCount: Int
  var measurements: [Measurement] = []

  var table: String {
    let titles = ["", "", "", "of", "share", ""]
    var cells = [titles]
    for measurement in measurements {
      let (unit, scale) = (measurement.unit.rawValue, measurement.unit.scale)
      let limit = measurement.limit.map {
        "\(ByteCount.significant($0 / scale)) \(unit)"
      }
      cells.append([
        measurement.group.rawValue, measurement.name,
        "\(ByteCount.significant(measurement.value / scale)) \(unit)",
        [limit, measurement.limitName].compactMap(\.self).joined(separator: " "),
        measurement.limit.map { "\(ByteCount.fixed(measurement.value / $0 * 100, digits: 0)) %" }
          ?? "",
        measurement.note ?? "",
      ])
    }
    let widths = titles.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
    return cells.dropFirst().map { row in
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        // Numbers stand to the right.
        line += (column == 2 || column == 4 ? padding + cell : cell + padding) + "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }

  var json: JSONValue {
    .object([
      "threads": .integer(threadCount), "measurements": .array(measurements.map(\.json)),
    ])
  }
}
