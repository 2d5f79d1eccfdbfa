import Support

extension ExpertStreamer {
  /// What a prediction may take from the disk and the cache.
  enum Speculation {
    /// One token: a few records, when demand leaves the disk alone.
    case token
    /// A pass over whole layers: as many records as the pass has slots in transit, as soon as
    /// demand is with the disk.
    case pass
  }

  /// Predicts experts of a layer; replaces the last prediction.
  ///
  /// Reads start when demand leaves the disk alone, and never take a slot that demand filled for
  /// the current token.  Unknown layers and experts are ignored: a prediction cannot be an error.
  ///
  /// - Parameter isRanked: the experts are one token's, likeliest first; ranks that seldom come true
  ///   are watched and not read.
  public func prefetch(
    layer: Int, experts: UnsafeBufferPointer<Int32>, isRanked: Bool = true
  ) {
    dropCandidates()
    watchedCount = 0
    guard wantsPredictions, store.manifest.layers.indices.contains(layer) else { return }
    if isRanked { watch(layer: layer, experts: experts) }
    speculate(.token, layer: layer, experts: experts, isRanked: isRanked)
  }

  /// Notes predictions without a slot, to be judged when their layer begins.
  private func watch(layer: Int, experts: UnsafeBufferPointer<Int32>) {
    watchedLayer = layer
    let expertCount = store.manifest.layers[layer].expertCount
    for (rank, expert) in experts.prefix(predictions.rankCount).enumerated()
    where expert >= 0 && expert < expertCount {
      guard cache.slot(ofRecord: cache.record(layer: layer, expert: Int(expert))) == nil
      else { continue }
      watched[watchedCount] = (rank, expert)
      watchedCount += 1
    }
  }

  /// Compares what was predicted with what a layer asks for.
  func judgePredictions(layer: Int, experts: UnsafeBufferPointer<Int32>) {
    guard watchedCount > 0 else { return }
    if layer == watchedLayer {
      for (rank, expert) in watched[..<watchedCount] {
        predictions.judge(layer: layer, rank: rank, wasUsed: experts.contains(expert))
      }
    }
    watchedCount = 0
  }

  /// Announces what a pass over whole layers will ask for next, in the order it will.
  ///
  /// The records are read behind the open request's, into slots whose records this pass has used
  /// and does not keep.  Those that are not asked for in the end cost their reading.
  public func announce(layer: Int, experts: UnsafeBufferPointer<Int32>) {
    dropCandidates()
    watchedCount = 0
    // The disk is never idle in a pass, which says nothing about single tokens.
    governor.restartWindow()
    guard options.prefetch, cache.passAheadRecords > 0, !holdsEverything else { return }
    speculate(.pass, layer: layer, experts: experts)
  }

  private func speculate(
    _ kind: Speculation, layer: Int, experts: UnsafeBufferPointer<Int32>, isRanked: Bool = false
  ) {
    guard store.manifest.layers.indices.contains(layer) else { return }
    let expertCount = store.manifest.layers[layer].expertCount
    for (rank, expert) in experts.prefix(largestLayer).enumerated()
    where expert >= 0 && expert < expertCount {
      let record = cache.record(layer: layer, expert: Int(expert))
      // What is cached is protected from the others' reads, whatever its rank.
      guard
        !isRanked || cache.slot(ofRecord: record) != nil
          || predictions.isUseful(layer: layer, rank: rank)
      else { continue }
      candidates.append(expert)
    }
    speculation = kind
    candidateLayer = layer
    candidates.withUnsafeBufferPointer { cache.predict(layer: layer, experts: $0) }
    advance(wait: false)
  }

  /// Forgets predictions without a slot, and gives back slots whose read has not been issued.
  func dropCandidates() {
    candidates.removeAll(keepingCapacity: true)
    nextCandidate = 0
    guard scheduler.activeSpeculations > 0 else { return }
    scheduler.abandonQueuedSpeculation()
    settle(wait: false)
  }

  /// Starts predicted reads while they are in nobody's way.
  func startSpeculation() {
    let isPass = speculation == .pass
    let limit = isPass ? cache.passAheadRecords : tokenSpeculationLimit
    while nextCandidate < candidates.count, deferredCount == 0,
      scheduler.activeSpeculations < limit,
      isPass ? scheduler.isDemandIssued : scheduler.isQuiet
    {
      let expert = Int(candidates[nextCandidate])
      let record = cache.record(layer: candidateLayer, expert: expert)
      guard cache.slot(ofRecord: record) == nil else {
        nextCandidate += 1
        continue
      }
      guard
        let miss = isPass
          ? cache.placeAhead(layer: candidateLayer, expert: expert)
          : cache.placeSpeculative(layer: candidateLayer, expert: expert)
      else {
        // A pass gets slots as it goes on; for a token there will be none.
        if isPass { return }
        nextCandidate += 1
        continue
      }
      nextCandidate += 1
      if miss.evicted != nil { counters.evictions += 1 }
      let records = store.manifest.layers[candidateLayer]
      scheduler.start(
        slot: miss.slot, layer: candidateLayer, expert: expert,
        offset: records.offset(ofExpert: expert),
        bytes: records.record(ofExpert: expert).stride,
        headBytes: records.record(ofExpert: expert).headBytes, origin: .speculation)
      // Order is kept and the disk starts at once.
      if isPass { pump() }
    }
  }

  /// Fills free slots before the first token, most popular records first in `records`.
  ///
  /// What fits is read in file order, layer by layer.  Records that are cached, unknown or without
  /// a free slot are skipped.
  ///
  /// - Parameter progress: told after every landing how many of how many records are there.
  /// - Throws: the first record's `Failure`; the others have landed and stay.
  public func warmFill(
    _ records: [(layer: Int, expert: Int)],
    progress: ((_ done: Int, _ total: Int) -> Void)? = nil
  ) throws(Failure) {
    end()
    var chosen: [(layer: Int, expert: Int, slot: Int)] = []
    for (rank, record) in records.enumerated() {
      guard store.manifest.layers.indices.contains(record.layer), record.expert >= 0,
        record.expert < store.manifest.layers[record.layer].expertCount
      else { continue }
      let popularity = Double(records.count - rank) / Double(records.count + 1)
      guard
        let slot = cache.placeWarm(
          layer: record.layer, expert: record.expert, popularity: popularity)
      else { continue }
      chosen.append((record.layer, record.expert, slot))
    }
    chosen.sort { ($0.layer, $0.expert) < ($1.layer, $1.expert) }
    for (layer, expert, slot) in chosen {
      let records = store.manifest.layers[layer]
      scheduler.start(
        slot: slot, layer: layer, expert: expert, offset: records.offset(ofExpert: expert),
        bytes: records.record(ofExpert: expert).stride,
        headBytes: records.record(ofExpert: expert).headBytes, origin: .warmFill)
    }
    var done = 0
    while scheduler.activeReads > 0, failure == nil {
      let before = scheduler.activeReads
      advance(wait: true)
      done += before - scheduler.activeReads
      progress?(min(done, chosen.count), chosen.count)
    }
    if let error = failure {
      failure = nil
      throw error
    }
    for (layer, expert, _) in chosen
    where cache.slot(ofRecord: cache.record(layer: layer, expert: expert)) == nil {
      throw Failure(
        .io, store.filePath(store.manifest.layers[layer].file),
        at: "layer \(store.manifest.layers[layer].layer), expert \(expert)",
        "cannot read the record", remedy: "Run 'flashmoe verify' and check the disk")
    }
  }

  /// Waits for every read in flight; call it before the arena goes away.
  ///
  /// The open request, if any, is ended.
  public func drain() {
    end()
    dropCandidates()
    while scheduler.activeReads > 0, failure == nil { advance(wait: true) }
    failure = nil
  }
}
