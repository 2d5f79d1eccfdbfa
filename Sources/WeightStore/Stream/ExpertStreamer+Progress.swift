import Glibc
import Support

extension ExpertStreamer {
  /// Moves everything forward: takes what landed, places what waited for a slot, issues reads.
  ///
  /// Problems of the ring itself and of the open request's reads are left in `failure`.
  func advance(wait: Bool) {
    place()
    startSpeculation()
    pump()
    if failure != nil { return }
    settle(wait: wait)
    place()
    startSpeculation()
    pump()
  }

  func pump() {
    do throws(SystemError) {
      try scheduler.pump()
    } catch {
      ringFailed(error)
    }
  }

  private func ringFailed(_ error: SystemError) {
    // EEXIST is how the kernel says that the ring belongs to another thread.
    failure =
      failure
      ?? Failure(
        error.code == EEXIST ? .usage : .io, store.path, "cannot submit reads: \(error.reason)",
        remedy: error.code == EEXIST
          ? "Use a streamer from one thread only" : "Try again with the pread backend")
  }

  /// Takes completions and tells the cache how reads ended.
  func settle(wait: Bool) {
    do throws(SystemError) {
      try scheduler.reap(wait: wait)
    } catch {
      ringFailed(error)
    }
    while let slot = scheduler.nextLandedHead() {
      let position = Int(positionOfSlot[slot])
      if position >= 0 { headLanded(position) }
    }
    while let (slot, outcome) = scheduler.nextOutcome() {
      let position = Int(positionOfSlot[slot])
      switch outcome {
      case .landed:
        cache.landed(slot)
        if position >= 0 { becameReady(position) }
      case .abandoned:
        cache.discard(slot)
      case .failed(let code, let offset):
        if position >= 0 {
          failure = failure ?? readFailure(position, code, offset)
          positionOfSlot[slot] = -1
          slotOfPosition[position] = -1
        }
        // A failed speculation is nobody's error: demand will read again and find out.
        cache.discard(slot)
      }
    }
  }

  private func headLanded(_ position: Int) {
    guard wantsHeads, progress[position] == .reading else { return }
    progress[position] = .headReady
    headQueue.append(position)
  }

  private func becameReady(_ position: Int) {
    progress[position] = .ready
    if order == .completion { readyQueue.append(position) }
  }

  /// Gives slots to experts of the open request as far as there are any.
  private func place() {
    guard isOpen, deferredCount > 0, failure == nil else { return }
    cache.decide(into: &decision)
    deferredCount = decision.deferredCount
    for hit in decision.hits {
      account(hit)
      counters.hits += 1
      placed(hit.position, hit.slot, wasHit: true)
      becameReady(hit.position)
    }
    for hit in decision.adopted {
      account(hit)
      counters.hitsInFlight += 1
      placed(hit.position, hit.slot, wasHit: true)
      scheduler.adopt(slot: hit.slot)
      if scheduler.isHeadLanded(hit.slot) { headLanded(hit.position) }
    }
    let records = store.manifest.layers[layer]
    for miss in decision.misses {
      counters.lookups += 1
      counters.misses += 1
      counters.layerLookups[layer] += 1
      if miss.evicted != nil { counters.evictions += 1 }
      placed(miss.position, miss.slot, wasHit: false)
      let expert = Int(experts[miss.position])
      scheduler.start(
        slot: miss.slot, layer: layer, expert: expert, offset: records.offset(ofExpert: expert),
        bytes: records.record(ofExpert: expert).stride,
        headBytes: records.record(ofExpert: expert).headBytes, origin: .demand)
    }
  }

  private func placed(_ position: Int, _ slot: Int, wasHit: Bool) {
    slotOfPosition[position] = Int32(slot)
    positionOfSlot[slot] = Int32(position)
    progress[position] = .reading
    isHit[position] = wasHit
  }

  private func account(_ hit: CacheDecision.Hit) {
    counters.lookups += 1
    counters.layerLookups[layer] += 1
    counters.layerHits[layer] += 1
    if hit.wasSpeculated {
      counters.speculativeUsedBytes +=
        store.manifest.layers[layer].record(ofExpert: Int(experts[hit.position])).stride
    }
  }

  /// The next delivery if its bytes are there.
  func takeReady() throws(Failure) -> Delivery? {
    if let failure { throw failure }
    let position: Int
    switch order {
    case .completion:
      guard let first = readyQueue.popFirst() else { return takeHead() }
      position = first
    case .request:
      guard progress[deliveredCount] == .ready else { return nil }
      position = deliveredCount
    }
    let slot = Int(slotOfPosition[position])
    try verify(position, slot)
    progress[position] = .delivered
    deliveredCount += 1
    return Delivery(
      position: position, expert: Int(experts[position]),
      record: UnsafeRawPointer(arena.slot(slot)), isWhole: true, wasHit: isHit[position])
  }

  /// A record whose first section is there and the rest is not.
  private func takeHead() -> Delivery? {
    while let position = headQueue.popFirst() {
      guard progress[position] == .headReady else { continue }
      progress[position] = .reading
      let slot = Int(slotOfPosition[position])
      return Delivery(
        position: position, expert: Int(experts[position]),
        record: UnsafeRawPointer(arena.slot(slot)), isWhole: false, wasHit: isHit[position])
    }
    return nil
  }

  // MARK: Errors

  /// Checks a record's checksum the first time it is delivered.
  private func verify(_ position: Int, _ slot: Int) throws(Failure) {
    guard options.verifyChecksums else { return }
    let expert = Int(experts[position])
    let record = cache.record(layer: layer, expert: expert)
    let bit: UInt64 = 1 << UInt64(record & 63)
    guard verified[record >> 6] & bit == 0 else { return }
    let bytes = UnsafeRawBufferPointer(
      start: arena.slot(slot),
      count: store.manifest.layers[layer].record(ofExpert: expert).bytes)
    guard Checksum(of: bytes) == store.manifest.layers[layer].checksums[expert] else {
      positionOfSlot[slot] = -1
      slotOfPosition[position] = -1
      cache.discard(slot)
      let error = Failure(
        .corrupt, path(ofLayer: layer),
        at: place(expert, store.manifest.layers[layer].offset(ofExpert: expert)),
        "checksum mismatch",
        remedy: "Run 'flashmoe verify' to see what else is damaged, then restore the file from a"
          + " copy or pack the store again")
      failure = error
      throw error
    }
    verified[record >> 6] |= bit
  }

  private func readFailure(_ position: Int, _ code: Int32, _ offset: Int) -> Failure {
    let expert = Int(experts[position])
    guard code != 0 else {
      return Failure(
        .corrupt, path(ofLayer: layer), at: place(expert, offset), "the file ends too early",
        remedy: "It was truncated while in use: restore it from a copy or pack the store again")
    }
    return Failure(
      .io, path(ofLayer: layer), at: place(expert, offset),
      "cannot read the record: " + String(cString: strerror(code)),
      remedy: code == EIO
        ? "The disk or its connection is failing: look at 'dmesg', run 'flashmoe verify' and move"
          + " the store to another disk"
        : "Run 'flashmoe verify' and check the disk")
  }

  private func path(ofLayer layer: Int) -> String {
    store.filePath(store.manifest.layers[layer].file)
  }

  private func place(_ expert: Int, _ offset: Int) -> String {
    "layer \(store.manifest.layers[layer].layer), expert \(expert), offset \(offset)"
  }
}
