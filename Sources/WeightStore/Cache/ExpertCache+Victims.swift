extension ExpertCache {
  /// How unwelcome evicting a slot is; lower goes first.
  private enum Reluctance: Int {
    case none
    /// A speculative record whose layer has not begun yet.
    case awaited
    /// The open request will come to it.
    case needed
  }

  private enum Source {
    case any
    case layer(Int)
    case layersAboveShare
  }

  /// A slot for a record the router asked for, or nil when all are pinned, filling or spared.
  func demandSlot(forRecord record: Int) -> Int? {
    let own = partition.ownSlots(layer: requestLayer)
    let transit = partition.transitSlots
    if freeCount > 0 {
      if let slot = freeSlot(in: own) ?? freeSlot(in: transit) { return slot }
    }
    let spareNeeded = heldMisses >= readAheadFloor
    if partition.isGlobal {
      guard requestOrder == .request else {
        return leastKey(in: own) ?? victim(in: own, most: .needed)
      }
      // A pass over a whole layer replaces its own records once it holds its share; otherwise a
      // pass over all layers would be a cycle longer than the cache.
      if residentCount[requestLayer] >= share {
        let slot = victim(in: own, from: .layer(requestLayer), most: .none)
        if slot != nil || spareNeeded { return slot }
      }
      return victim(in: own, from: .layersAboveShare, most: .none)
        ?? victim(in: own, most: spareNeeded ? .awaited : .needed)
    }
    // A record enters its layer's own slots when it is worth more than one there.
    if let slot = victim(in: own, most: .none), worthOfSlot[slot] < policy.worth(record) {
      return slot
    }
    return victim(in: transit, most: .awaited) ?? victim(in: own, most: .awaited)
      ?? (spareNeeded ? nil : victim(in: transit, most: .needed) ?? victim(in: own, most: .needed))
  }

  func freeSlot(in range: Range<Int>) -> Int? {
    for slot in range where fill[slot] == .free { return slot }
    return nil
  }

  /// The least worthy slot that may be taken at once; nil when there is none.
  func leastKey(in range: Range<Int>) -> Int? {
    keyOfSlot.withUnsafeBufferPointer { keys in
      let least = Self.least(UnsafeBufferPointer(rebasing: keys[range]))
      guard least < .infinity else { return nil }
      var best: Int?
      for slot in range where keys[slot] == least {
        if let current = best, lastUseOfSlot[slot] >= lastUseOfSlot[current] { continue }
        best = slot
      }
      return best
    }
  }

  private static func least(_ keys: UnsafeBufferPointer<Double>) -> Double {
    typealias Lanes = SIMD8<Double>
    let bytes = UnsafeRawBufferPointer(keys)
    var lanes = Lanes(repeating: .infinity)
    var at = 0
    while at + Lanes.scalarCount <= keys.count {
      let next = bytes.loadUnaligned(
        fromByteOffset: at * MemoryLayout<Double>.stride, as: Lanes.self)
      lanes = pointwiseMin(lanes, next)
      at += Lanes.scalarCount
    }
    var least = lanes.min()
    for key in keys[at...] where key < least { least = key }
    return least
  }

  /// The least worthy evictable slot; of those the request will come to, the last in its order.
  private func victim(
    in range: Range<Int>, from source: Source = .any, most: Reluctance
  ) -> Int? {
    var best: Int?
    var bestReluctance = most.rawValue
    var bestWorth = Double.infinity
    var bestUse = Int.max
    for slot in range where fill[slot] == .ready && pins[slot] == 0 {
      switch source {
      case .any: break
      case .layer(let layer): if Int(layerOfSlot[slot]) != layer { continue }
      case .layersAboveShare:
        if residentCount[Int(layerOfSlot[slot])] <= share { continue }
      }
      let record = Int(recordOfSlot[slot])
      var reluctance = Reluctance.none
      var worth = worthOfSlot[slot]
      if neededByRequest[record] == request {
        reluctance = .needed
        worth = -Double(positionOfRecord[record])
      } else if awaitedBegin[slot] == layerBegins[Int(layerOfSlot[slot])] {
        reluctance = .awaited
      }
      guard reluctance.rawValue <= bestReluctance else { continue }
      if best == nil || reluctance.rawValue < bestReluctance
        || (worth, lastUseOfSlot[slot]) < (bestWorth, bestUse)
      {
        best = slot
        bestReluctance = reluctance.rawValue
        bestWorth = worth
        bestUse = lastUseOfSlot[slot]
      }
    }
    return best
  }

  // MARK: Speculation

  /// A new prediction: its experts are protected from each other's reads.
  public mutating func predict(layer: Int, experts: UnsafeBufferPointer<Int32>) {
    prediction += 1
    for expert in experts {
      let record = recordBase[layer] + Int(expert)
      predictedIn[record] = prediction
      let slot = Int(slotOfRecord[record])
      if slot >= 0 {
        awaitedBegin[slot] = layerBegins[layer]
        refreshKey(slot)
      }
    }
  }

  /// Takes a slot for a predicted record: free, or one whose record was neither demanded in this
  /// token nor predicted now, and never a transit slot.
  ///
  /// - Returns: nil when it is cached already or no slot may be taken.
  public mutating func placeSpeculative(layer: Int, expert: Int) -> CacheDecision.Miss? {
    let record = recordBase[layer] + expert
    guard slotOfRecord[record] < 0 else { return nil }
    let own = partition.ownSlots(layer: layer)
    let free = freeCount > 0 ? freeSlot(in: own) : nil
    guard let slot = free ?? speculativeVictim(in: own) else { return nil }
    let evicted = evict(slot)
    occupy(slot, with: record, layer: layer)
    isSpeculated[slot] = true
    awaitedBegin[slot] = layerBegins[layer]
    return CacheDecision.Miss(position: -1, record: record, slot: slot, evicted: evicted)
  }

  /// Takes a slot for a record a pass will ask for when it comes to its layer: free, or one whose
  /// record the pass has used and does not keep.
  ///
  /// - Returns: nil when it is cached already or no such slot is there yet.
  public mutating func placeAhead(layer: Int, expert: Int) -> CacheDecision.Miss? {
    let record = recordBase[layer] + expert
    guard slotOfRecord[record] < 0 else { return nil }
    let range = partition.isGlobal ? 0..<slotCount : partition.transitSlots
    let free = freeCount > 0 ? freeSlot(in: range) : nil
    guard let slot = free ?? passedVictim(in: range) else { return nil }
    let evicted = evict(slot)
    occupy(slot, with: record, layer: layer)
    isSpeculated[slot] = true
    awaitedBegin[slot] = layerBegins[layer]
    return CacheDecision.Miss(position: -1, record: record, slot: slot, evicted: evicted)
  }

  /// The least worthy record of a layer above its share: first of those used in this pass.
  private func passedVictim(in range: Range<Int>) -> Int? {
    var best: Int?
    var bestIsPassed = false
    for slot in range where fill[slot] == .ready && pins[slot] == 0 {
      if partition.isGlobal, residentCount[Int(layerOfSlot[slot])] <= share { continue }
      if neededByRequest[Int(recordOfSlot[slot])] == request
        || awaitedBegin[slot] == layerBegins[Int(layerOfSlot[slot])]
      {
        continue
      }
      let isPassed = tokenOfSlot[slot] == time.token
      if let best {
        if bestIsPassed, !isPassed { continue }
        if bestIsPassed == isPassed,
          (worthOfSlot[slot], lastUseOfSlot[slot]) >= (worthOfSlot[best], lastUseOfSlot[best])
        {
          continue
        }
      }
      best = slot
      bestIsPassed = isPassed
    }
    return best
  }

  /// Whether a speculative read may take this evictable slot.
  private func yieldsToSpeculation(_ slot: Int) -> Bool {
    let record = Int(recordOfSlot[slot])
    return tokenOfSlot[slot] != time.token && predictedIn[record] != prediction
      && neededByRequest[record] != request
      && awaitedBegin[slot] != layerBegins[Int(layerOfSlot[slot])]
  }

  private func speculativeVictim(in range: Range<Int>) -> Int? {
    // Nearly always the least worthy of all will do.
    guard let first = leastKey(in: range) else { return nil }
    if yieldsToSpeculation(first) { return first }
    var best: Int?
    for slot in range where fill[slot] == .ready && pins[slot] == 0 && yieldsToSpeculation(slot) {
      if let current = best {
        if (worthOfSlot[slot], lastUseOfSlot[slot]) >= (
          worthOfSlot[current], lastUseOfSlot[current]
        ) {
          continue
        }
      }
      best = slot
    }
    return best
  }

  // MARK: Warm fill

  /// Takes a free slot at start; nil when the record is cached or its layer has no free slot.
  public mutating func placeWarm(layer: Int, expert: Int, popularity: Double) -> Int? {
    let record = recordBase[layer] + expert
    guard slotOfRecord[record] < 0, freeCount > 0,
      let slot = freeSlot(in: partition.ownSlots(layer: layer))
    else { return nil }
    seed(record, popularity: popularity)
    occupy(slot, with: record, layer: layer)
    return slot
  }
}
