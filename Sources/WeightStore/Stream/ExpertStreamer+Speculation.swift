import Support

extension ExpertStreamer {
  /// Predicts experts of a layer, most likely first; replaces the last prediction.
  ///
  /// Reads start when demand leaves the disk alone, and never take a slot that demand filled for
  /// the current token.  Unknown layers and experts are ignored: a prediction cannot be an error.
  public func prefetch(layer: Int, experts: UnsafeBufferPointer<Int32>) {
    dropCandidates()
    guard options.prefetch, speculationLimit > 0, !governor.isSuspended,
      store.manifest.layers.indices.contains(layer)
    else { return }
    let expertCount = store.manifest.layers[layer].expertCount
    for expert in experts.prefix(largestLayer) where expert >= 0 && expert < expertCount {
      candidates.append(expert)
    }
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
    while nextCandidate < candidates.count, deferredCount == 0,
      scheduler.activeSpeculations < speculationLimit, scheduler.isQuiet
    {
      let expert = Int(candidates[nextCandidate])
      nextCandidate += 1
      guard let miss = cache.placeSpeculative(layer: candidateLayer, expert: expert) else {
        continue
      }
      if miss.evicted != nil { counters.evictions += 1 }
      let records = store.manifest.layers[candidateLayer]
      scheduler.start(
        slot: miss.slot, layer: candidateLayer, expert: expert,
        offset: records.offset(ofExpert: expert), bytes: records.record.stride,
        origin: .speculation)
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
        bytes: records.record.stride, origin: .warmFill)
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
