/// One replay's state: a step at a time, as the engine and the streamer would go.
struct ReplayPass<Policy: CachePolicy> {
  /// As the decoder: more rows than this are a chunk.
  private static var stepRowLimit: Int { 16 }

  private let trace: RoutingTrace
  private var cache: ExpertCache<Policy>
  private let prediction: Bool
  private var governor: PrefetchGovernor
  private var record: PredictionRecord
  /// Predictions for the next layer whose record had no slot, by rank.
  private var watched: [(rank: Int, expert: Int32)] = []
  private var decision = CacheDecision()
  private(set) var outcome = CacheReplay.Outcome()
  private var counts = false
  private var chosen: [Int32]
  private var tokens: [Int32] = []
  // All steps, counted or not, for the governor.
  private var issuedBytes = 0
  private var usedBytes = 0
  private var steps: UInt64 = 0
  private let codeStarts: [Int]

  init(trace: RoutingTrace, cache: ExpertCache<Policy>, prediction: Bool) {
    self.trace = trace
    self.cache = cache
    self.prediction = prediction
    governor = PrefetchGovernor(judgedBytes: 8 * (trace.recordBytes.max() ?? 0))
    record = PredictionRecord(
      layerCount: trace.layers.count, rankCount: trace.expertsPerToken)
    chosen = Array(repeating: 0, count: trace.expertsPerToken)
    var starts = [0]
    for count in trace.layerExperts { starts.append(starts[starts.count - 1] + count) }
    codeStarts = starts
  }

  mutating func step(_ rows: Range<Int>, counts: Bool) {
    self.counts = counts
    steps += 1
    tokens.removeAll(keepingCapacity: true)
    for token in trace.tokens[rows] { tokens.append(Int32(bitPattern: token)) }
    tokens.withUnsafeBufferPointer { cache.beginToken($0) }
    let suspensions = governor.suspensions
    // Demand takes no time here: only usefulness is judged.
    governor.token(
      PrefetchGovernor.Reading(
        nanoseconds: steps, demandBusyNanoseconds: 0, issuedBytes: issuedBytes,
        usedBytes: usedBytes))
    if counts {
      outcome.tokens += rows.count
      outcome.suspensions += governor.suspensions - suspensions
    }
    for layer in trace.layers.indices {
      observe(rows, layer)
      if rows.count <= Self.stepRowLimit { request(rows, layer) } else { pass(rows, layer) }
    }
  }

  private mutating func observe(_ rows: Range<Int>, _ layer: Int) {
    for token in rows {
      for position in chosen.indices {
        chosen[position] = Int32(trace.chosen(token: token, layer: layer, position))
      }
      chosen.withUnsafeBufferPointer { chosen in
        trace.codes.withUnsafeBufferPointer { codes in
          cache.observe(
            layer: layer, row: token - rows.lowerBound,
            codes: codes.baseAddress.map { $0 + token * trace.recordCount + codeStarts[layer] },
            chosen: chosen)
        }
      }
    }
  }

  private mutating func open(_ layer: Int, _ experts: [Int32], _ order: DeliveryOrder) {
    let isOpen = experts.withUnsafeBufferPointer {
      cache.open(layer: layer, experts: $0, order: order)
    }
    precondition(isOpen, "an expert stands twice")
  }

  /// Decode, and the few rows of a verified draft: everything is placed at once.
  private mutating func request(_ rows: Range<Int>, _ layer: Int) {
    let experts = trace.experts(of: rows, layer: layer)
    for (rank, expert) in watched {
      record.judge(layer: layer, rank: rank, wasUsed: experts.contains(expert))
    }
    watched.removeAll(keepingCapacity: true)
    open(layer, experts, .completion)
    var held: [Int] = []
    cache.decide(into: &decision)
    while true {
      account(layer)
      held += decision.hits.map(\.slot) + decision.misses.map(\.slot)
      if decision.deferredCount == 0 { break }
      for slot in held { cache.unpin(slot) }
      held.removeAll()
      cache.decide(into: &decision)
    }
    speculate(rows, layer)
    for slot in held { cache.unpin(slot) }
    cache.close()
  }

  /// A chunk: one record after the other, read-ahead as far as there are slots.
  private mutating func pass(_ rows: Range<Int>, _ layer: Int) {
    watched.removeAll(keepingCapacity: true)
    let experts = trace.experts(of: rows, layer: layer)
    open(layer, experts, .request)
    var slots = Array(repeating: -1, count: experts.count)
    let next = layer + 1
    var announced = 0
    let announcements =
      prediction && next < trace.layers.count
      ? trace.predictedExperts(of: rows, layer: next, ranks: trace.expertsPerToken) : []
    announcements.withUnsafeBufferPointer {
      if !$0.isEmpty { cache.predict(layer: next, experts: $0) }
    }
    for position in experts.indices {
      repeat {
        cache.decide(into: &decision)
        account(layer)
        for hit in decision.hits { slots[hit.position] = hit.slot }
        for miss in decision.misses { slots[miss.position] = miss.slot }
      } while slots[position] < 0 && !decision.misses.isEmpty
      while announced < announcements.count, decision.deferredCount == 0 {
        let expert = Int(announcements[announced])
        if cache.slot(ofRecord: cache.record(layer: next, expert: expert)) == nil {
          guard let miss = cache.placeAhead(layer: next, expert: expert) else { break }
          landSpeculation(miss.slot, next)
        }
        announced += 1
      }
      precondition(slots[position] >= 0, "a pass always goes on")
      cache.unpin(slots[position])
    }
    cache.close()
  }

  private mutating func account(_ layer: Int) {
    let bytes = trace.layers[layer].recordBytes
    for miss in decision.misses { cache.landed(miss.slot) }
    let used = decision.hits.reduce(0) { $0 + ($1.wasSpeculated ? bytes : 0) }
    usedBytes += used
    guard counts else { return }
    outcome.hits += decision.hits.count
    outcome.lookups += decision.hits.count + decision.misses.count
    outcome.demandBytes += decision.misses.count * bytes
    outcome.speculativeUsedBytes += used
  }

  /// The next layer's predicted records, those of ranks that come true; all of them in time.
  private mutating func speculate(_ rows: Range<Int>, _ layer: Int) {
    let next = layer + 1
    guard prediction, !governor.isSuspended, next < trace.layers.count else { return }
    let experts = trace.predictedExperts(of: rows, layer: next, ranks: trace.expertsPerToken)
    var candidates = experts
    if rows.count == 1 {
      candidates.removeAll(keepingCapacity: true)
      for (rank, expert) in experts.enumerated() {
        let isCached = cache.slot(ofRecord: cache.record(layer: next, expert: Int(expert))) != nil
        if !isCached { watched.append((rank, expert)) }
        if isCached || record.isUseful(layer: next, rank: rank) { candidates.append(expert) }
      }
    }
    candidates.withUnsafeBufferPointer { cache.predict(layer: next, experts: $0) }
    for expert in candidates {
      if let miss = cache.placeSpeculative(layer: next, expert: Int(expert)) {
        landSpeculation(miss.slot, next)
      }
    }
  }

  private mutating func landSpeculation(_ slot: Int, _ layer: Int) {
    cache.landed(slot)
    issuedBytes += trace.layers[layer].recordBytes
    if counts { outcome.speculativeBytes += trace.layers[layer].recordBytes }
  }
}
