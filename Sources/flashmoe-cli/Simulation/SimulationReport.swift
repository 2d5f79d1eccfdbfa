import Support
import WeightStore

/// The table and the document of a simulation.
struct SimulationReport {
  private let simulation: Simulation
  private let names: [String]

  init(_ simulation: Simulation, names: [String]) {
    self.simulation = simulation
    self.names = names
  }

  private var tokens: Int { simulation.traces.reduce(0) { $0 + $1.tokenCount } }

  var title: String {
    let model = simulation.traces.first?.model ?? ""
    return "\(model), \(tokens) tokens of \(names.joined(separator: ", "))"
  }

  private func share(_ slots: Int) -> Double {
    100 * Double(slots) / Double(max(1, simulation.recordCount))
  }

  private static func percent(_ value: Double) -> String {
    ByteCount.fixed(100 * value, digits: 2) + " %"
  }

  var text: String {
    var table = Table(.right, .right, .left, .left, .right, .right, .right, .right, .right)
    table.add(
      "slots", "of all", "prediction", "policy", "hits", "misses", "read", "in vain", "gap closed")
    for entry in simulation.cases {
      let outcome = entry.outcome
      let isBound = entry.policy == .belady
      table.add(
        "\(entry.slots)", ByteCount.fixed(share(entry.slots), digits: 1) + " %",
        isBound ? "" : entry.prediction ? "on" : "off", entry.policy.name,
        Self.percent(outcome.hitRate), "\(outcome.misses)", ByteCount.format(outcome.readBytes),
        ByteCount.format(outcome.speculativeBytes - outcome.speculativeUsedBytes),
        isBound ? "" : entry.gapClosed.map(Self.percent) ?? "")
    }
    return title + "\n" + table.text()
  }

  var json: JSONObject {
    let first = simulation.traces.first
    return [
      "model": .string(first?.model ?? ""),
      "fingerprint": .string(first?.fingerprint.description ?? ""),
      "traces": .array(names.map { .string($0) }), "tokens": .integer(tokens),
      "records": .integer(simulation.recordCount),
      "results": .array(
        simulation.cases.map { entry in
          let outcome = entry.outcome
          return .object([
            "slots": .integer(entry.slots), "cache_percent": .number(share(entry.slots)),
            "policy": .string(entry.policy.name), "prediction": .bool(entry.prediction),
            "tokens": .integer(outcome.tokens), "lookups": .integer(outcome.lookups),
            "hits": .integer(outcome.hits), "misses": .integer(outcome.misses),
            "hit_rate": .number(outcome.hitRate),
            "demand_bytes": .integer(outcome.demandBytes),
            "speculative_bytes": .integer(outcome.speculativeBytes),
            "used_bytes": .integer(outcome.speculativeUsedBytes),
            "read_bytes": .integer(outcome.readBytes),
            "prediction_suspended": .integer(outcome.suspensions),
            "gap_closed": .optional(entry.gapClosed),
          ])
        }),
    ]
  }
}
