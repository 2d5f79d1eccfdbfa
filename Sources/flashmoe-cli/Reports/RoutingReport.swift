import FlashMoE
import Glibc
import Support
import WeightStore

/// How a store routes random tokens: whether a cache measured on it means anything.
///
/// With badly made random weights every token chooses the same few experts and any cache looks
/// perfect.
struct RoutingReport {
  private static let shares = [10, 25, 50, 75]
  private static let policies = [CachePolicyKind.lru, .lfru]

  private let tokenCount: Int
  private let warmupTokens: Int
  private let expertCount: Int
  /// Of each layer, over all tokens.
  private let distinct: [Int]
  /// Experts that evenly used would have the same entropy, of each layer.
  private let effective: [Double]
  private let hits: [(share: Int, slots: Int, rates: [Double])]

  /// Runs random tokens through the engine.
  init(_ engine: Engine, tokenCount: Int, seed: UInt64) throws(Failure) {
    let configuration = engine.configuration
    let perToken = configuration.experts.perToken
    var state = seed
    let tokens = (0..<tokenCount).map { _ in
      Int32(Self.random(&state) % UInt64(configuration.vocabularySize))
    }
    let routing = try engine.routing(of: tokens)
    self.tokenCount = tokenCount
    warmupTokens = tokenCount / 2
    expertCount = configuration.experts.count
    var distinct: [Int] = []
    var effective: [Double] = []
    for layer in routing {
      var counts = Array(repeating: 0, count: configuration.experts.count)
      for expert in layer.indices { counts[Int(expert)] += 1 }
      distinct.append(counts.filter { $0 > 0 }.count)
      effective.append(Self.effectiveCount(counts))
    }
    self.distinct = distinct
    self.effective = effective
    let layerExperts = engine.store.manifest.layers.map(\.expertCount)
    let records = layerExperts.reduce(0, +)
    let indices = routing.map(\.indices)
    let replay = CacheReplay(
      RoutingTrace(routing: indices, layerExperts: layerExperts, expertsPerToken: perToken))
    let warmup = warmupTokens
    hits = Self.shares.compactMap { share in
      let slots = records * share / 100
      guard slots >= perToken, !indices.isEmpty else { return nil }
      return (
        share, slots,
        Self.policies.map {
          replay.run(
            .online($0), CacheReplay.Options(slotCount: slots, warmupTokens: warmup)
          ).hitRate
        }
      )
    }
  }

  /// SplitMix64 (Steele, Lea and Flood, 2014): the report is the same every time.
  private static func random(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  private static func effectiveCount(_ counts: [Int]) -> Double {
    let total = Double(counts.reduce(0, +))
    let entropy = counts.filter { $0 > 0 }.reduce(0.0) { sum, count in
      let share = Double(count) / total
      return sum - share * log(share)
    }
    return exp(entropy)
  }

  private static func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  var json: JSONObject {
    [
      "tokens": .integer(tokenCount), "experts": .integer(expertCount),
      "distinct_experts": .array(distinct.map { .integer($0) }),
      "effective_experts": .array(effective.map { .number($0) }),
      "warmup_tokens": .integer(warmupTokens),
      "hit_rates": .array(
        hits.map { entry in
          var object: JSONObject = [
            "cache_percent": .integer(entry.share), "slots": .integer(entry.slots),
          ]
          for (policy, rate) in zip(Self.policies, entry.rates) {
            object[policy.rawValue] = .number(rate)
          }
          return .object(object)
        }),
    ]
  }

  var text: String {
    let least = distinct.min() ?? 0
    let most = distinct.max() ?? 0
    var lines = [
      "Routing of \(tokenCount) random tokens:",
      "  distinct experts a layer: \(least) to \(most) of \(expertCount), as many as "
        + "\(ByteCount.significant(Self.mean(effective))) evenly used ones",
      "  hit rate after \(warmupTokens) tokens, by cache size:",
    ]
    var table = Table(.right, .right, .right, .right)
    table.add(["of all experts", "slots"] + Self.policies.map(\.rawValue))
    for entry in hits {
      table.add(
        ["\(entry.share) %", "\(entry.slots)"]
          + entry.rates.map { ByteCount.fixed($0 * 100, digits: 1) + " %" })
    }
    lines.append(table.text(indent: 4))
    return lines.joined(separator: "\n")
  }
}
