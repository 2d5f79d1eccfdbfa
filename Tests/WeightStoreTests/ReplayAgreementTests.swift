import Testing

@testable import WeightStore

/// The streamer, with real reads, and a replay of the same trace read the same records.
@Suite struct ReplayAgreementTests {
  private static let perToken = 3

  /// Routing that drifts, with predictions that are mostly right.
  private func trace(of source: StreamingStore, experts: Int, tokens: Int) -> RoutingTrace {
    var dice = Dice(17)
    var trace = RoutingTrace(
      of: source.store.manifest, expertsPerToken: Self.perToken, predictionCount: Self.perToken)
    var last: [[Int32]] = trace.layers.map { _ in dice.distinct(Self.perToken, below: experts) }
    for _ in 0..<tokens {
      // Tokens that come again, so that policies can learn from them.
      trace.beginToken(UInt32(dice.below(7)))
      for layer in trace.layers.indices {
        if dice.below(3) > 0 { last[layer] = dice.distinct(Self.perToken, below: experts) }
        let probabilities = (0..<experts).map { expert in
          last[layer].firstIndex(of: Int32(expert)).map { 0.2 - 0.02 * Float($0) }
            ?? Float(1 + dice.below(100)) / 1000
        }
        let guess = probabilities.map { $0 * (dice.below(5) == 0 ? 0.3 : 1) }
        probabilities.withUnsafeBufferPointer { values in
          guard let base = values.baseAddress else { return }
          last[layer].withUnsafeBufferPointer {
            trace.record(layer: layer, probabilities: base, experts: $0)
          }
        }
        guess.withUnsafeBufferPointer { values in
          if layer > 0, let base = values.baseAddress {
            trace.predict(layer: layer, probabilities: base)
          }
        }
      }
      trace.appendStep(rows: 1)
    }
    return trace
  }

  @Test(arguments: CachePolicyKind.allCases, [false, true])
  func agree(kind: CachePolicyKind, prediction: Bool) throws {
    let (layers, experts) = (4, 12)
    let source = try StreamingStore(layers: layers, experts: experts)
    let trace = trace(of: source, experts: experts, tokens: 60)
    for slots in [4, 7, 11, 12, 13, 20, 31, 47] {
      let rig = try StreamingRig(
        source, slots: slots, expertsPerToken: Self.perToken,
        options: StreamerOptions(policy: kind, prefetch: prediction))
      try feed(trace, to: rig, prediction: prediction)
      let outcome = CacheReplay(trace).run(
        .online(kind), CacheReplay.Options(slotCount: slots, prediction: prediction))
      let statistics = rig.streamer.statistics
      #expect(statistics.lookups == outcome.lookups)
      #expect(statistics.hits == outcome.hits, "\(kind), \(slots) slots")
      #expect(statistics.hitsInFlight == 0)
      #expect(statistics.demandBytes == outcome.demandBytes)
      #expect(statistics.speculativeBytes == outcome.speculativeBytes, "\(kind), \(slots) slots")
      #expect(statistics.speculativeUsedBytes == outcome.speculativeUsedBytes)
      if prediction, slots > 12 { #expect(outcome.speculativeBytes > 0) }
    }
  }

  /// As the engine does, only that predicted reads land within their layer.
  private func feed(_ trace: RoutingTrace, to rig: StreamingRig, prediction: Bool) throws {
    for token in 0..<trace.tokenCount {
      // As `beginToken`, but no time passes: a busy disk would suspend what the replay reads.
      withUnsafePointer(to: Int32(bitPattern: trace.tokens[token])) {
        rig.streamer.cache.beginToken(UnsafeBufferPointer(start: $0, count: 1))
      }
      rig.streamer.governor.token(
        PrefetchGovernor.Reading(
          nanoseconds: UInt64(token + 1), demandBusyNanoseconds: 0,
          issuedBytes: rig.streamer.statistics.speculativeBytes,
          usedBytes: rig.streamer.statistics.speculativeUsedBytes))
      for layer in trace.layers.indices {
        let rows = token..<token + 1
        let chosen = trace.experts(of: rows, layer: layer)
        let first = token * trace.recordCount + layer * trace.layers[layer].expertCount
        // Probabilities with the same codes.
        let probabilities = (first..<first + trace.layers[layer].expertCount).map {
          RouterCode.probability(trace.codes[$0])
        }
        probabilities.withUnsafeBufferPointer { values in
          guard let base = values.baseAddress else { return }
          chosen.withUnsafeBufferPointer {
            rig.streamer.observe(
              layer: layer, probabilities: base, chosen: $0)
          }
        }
        try rig.begin(layer, chosen, .completion)
        if layer + 1 < trace.layers.count {
          rig.prefetch(
            layer + 1, trace.predictedExperts(of: rows, layer: layer + 1, ranks: Self.perToken))
        }
        while let delivery = try rig.streamer.next() {
          #expect(Int32(delivery.expert) == chosen[delivery.position])
        }
        // Deliveries stay pinned until all predicted reads are there.
        while rig.streamer.nextCandidate < rig.streamer.candidates.count
          || rig.streamer.scheduler.activeSpeculations > 0
        {
          rig.streamer.advance(wait: true)
        }
        rig.streamer.end()
      }
    }
  }
}
