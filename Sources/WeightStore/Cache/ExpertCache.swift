/// Which record lives in which slot, and who goes when another needs the place.
///
/// It decides and does no I/O; the same calls give the same decisions.  One request is open at a
/// time.  Records are numbered through all layers: `record(layer:expert:)`.
public struct ExpertCache<Policy: CachePolicy>: Sendable {
  public enum SlotState: UInt8, Sendable {
    case free, filling, ready, inUse
  }

  enum Fill: UInt8, Sendable {
    case free, filling, ready
  }

  public let partition: CachePartition
  public private(set) var policy: Policy
  public let layerExperts: [Int]
  let recordBase: [Int]
  public var slotCount: Int { partition.slotCount }

  // By slot.
  var fill: [Fill]
  var pins: [UInt8]
  var recordOfSlot: [Int32]
  var layerOfSlot: [Int32]
  var worthOfSlot: [Double]
  /// Worth where a miss may take the slot at once; infinite where it is free, filling, pinned or
  /// awaited.  One flat array, so that the least is found at memory speed.
  var keyOfSlot: [Double]
  /// Sequence of the last demand, for ties.
  var lastUseOfSlot: [Int]
  /// Token of the last demand.
  var tokenOfSlot: [Int]
  /// Brought by speculation and not demanded yet.
  var isSpeculated: [Bool]
  /// `layerBegins` of its layer when it was speculated: it is awaited until that changes.
  var awaitedBegin: [Int]
  /// Missed by the open request and not unpinned yet.
  var isHeldMiss: [Bool]

  // By record.
  var slotOfRecord: [Int32]
  var neededByRequest: [Int]
  var positionOfRecord: [Int32]
  var predictedIn: [Int]

  // By layer.
  var residentCount: [Int]
  var layerBegins: [Int]

  /// The last router's codes.
  private var routerCodes: [UInt8]

  var freeCount: Int
  var time = CacheTime(sequence: 0, token: 0)
  var prediction = 1

  // The open request.
  var request = 1
  var requestLayer = 0
  var requestOrder = DeliveryOrder.completion
  /// Demands before this request.
  var requestSequence = 0
  var requestRecords: [Int32]
  var isPlaced: [Bool]
  var placedCount = 0
  var cursor = 0
  var residentsTaken = false
  var heldMisses = 0
  /// In request order: from so many held misses on, cached records that come later are spared
  /// and a layer with its share waits for its own releases.
  let readAheadFloor: Int
  /// What a layer keeps of a pass in request order: an equal part of the slots not in transit.
  let share: Int
  /// Records of a pass that may be read before their layer begins; so many slots stay in transit.
  public let passAheadRecords: Int
  private static var passAheadLimit: Int { 64 }

  /// - Parameters:
  ///   - readAheadRecords: how many records in flight keep the disk busy.
  public init(
    partition: CachePartition, layerExperts: [Int], policy: Policy, readAheadRecords: Int = 4
  ) {
    self.partition = partition
    self.policy = policy
    self.layerExperts = layerExperts
    var base = [0]
    for count in layerExperts { base.append(base[base.count - 1] + count) }
    recordBase = base
    let records = base[base.count - 1]
    let slots = partition.slotCount
    let largest = layerExperts.max() ?? 0
    fill = Array(repeating: .free, count: slots)
    pins = Array(repeating: 0, count: slots)
    recordOfSlot = Array(repeating: -1, count: slots)
    layerOfSlot = Array(repeating: -1, count: slots)
    worthOfSlot = Array(repeating: 0, count: slots)
    keyOfSlot = Array(repeating: .infinity, count: slots)
    lastUseOfSlot = Array(repeating: 0, count: slots)
    tokenOfSlot = Array(repeating: -1, count: slots)
    isSpeculated = Array(repeating: false, count: slots)
    awaitedBegin = Array(repeating: -1, count: slots)
    isHeldMiss = Array(repeating: false, count: slots)
    slotOfRecord = Array(repeating: -1, count: records)
    neededByRequest = Array(repeating: 0, count: records)
    positionOfRecord = Array(repeating: 0, count: records)
    predictedIn = Array(repeating: 0, count: records)
    residentCount = Array(repeating: 0, count: layerExperts.count)
    layerBegins = Array(repeating: 0, count: layerExperts.count)
    freeCount = slots
    requestRecords = []
    requestRecords.reserveCapacity(largest)
    routerCodes = Array(repeating: 0, count: largest)
    isPlaced = Array(repeating: false, count: largest)
    let ahead =
      partition.isGlobal ? min(Self.passAheadLimit, slots / 8) : partition.transitCount / 2
    passAheadRecords = slots >= records ? 0 : ahead
    share = (slots - (partition.isGlobal ? passAheadRecords : 0)) / max(1, layerExperts.count)
    readAheadFloor = max(1, min(readAheadRecords, max(2, share / 2), slots / 2))
  }

  public func record(layer: Int, expert: Int) -> Int { recordBase[layer] + expert }

  /// Records that have a slot, filling ones included.
  public var residentRecords: Int { slotCount - freeCount }

  public func slot(ofRecord record: Int) -> Int? {
    slotOfRecord[record] < 0 ? nil : Int(slotOfRecord[record])
  }

  public func record(inSlot slot: Int) -> Int? {
    recordOfSlot[slot] < 0 ? nil : Int(recordOfSlot[slot])
  }

  public func state(ofSlot slot: Int) -> SlotState {
    switch fill[slot] {
    case .free: .free
    case .filling: .filling
    case .ready: pins[slot] > 0 ? .inUse : .ready
    }
  }

  /// A new token or prefill chunk: what was demanded before is no longer protected from speculation.
  ///
  /// - Parameter tokens: the step's token ids, for policies that learn from them.
  public mutating func beginToken(
    _ tokens: UnsafeBufferPointer<Int32> = .init(start: nil, count: 0)
  ) {
    time.token += 1
    if policy.followsRouter { policy.began(tokens) }
  }

  // MARK: Requests

  /// Opens a request for distinct experts of a layer; `decide` then places them.
  ///
  /// - Returns: false when an expert stands twice; nothing is open then.
  public mutating func open(
    layer: Int, experts: UnsafeBufferPointer<Int32>, order: DeliveryOrder
  ) -> Bool {
    request += 1
    requestLayer = layer
    requestOrder = order
    requestRecords.removeAll(keepingCapacity: true)
    placedCount = 0
    cursor = 0
    residentsTaken = false
    heldMisses = 0
    for (position, expert) in experts.enumerated() {
      let record = recordBase[layer] + Int(expert)
      guard neededByRequest[record] != request else {
        requestRecords.removeAll(keepingCapacity: true)
        return false
      }
      neededByRequest[record] = request
      positionOfRecord[record] = Int32(position)
      isPlaced[position] = false
      requestRecords.append(Int32(record))
    }
    layerBegins[layer] += 1
    // What was awaited for this layer is not any more.
    refresh(layer: layer)
    requestSequence = time.sequence
    for record in requestRecords { demand(Int(record)) }
    return true
  }

  private mutating func demand(_ record: Int) {
    time.sequence += 1
    let worth = policy.demanded(record, at: time)
    let displaced = policy.displaced
    if displaced >= 0, slotOfRecord[displaced] >= 0 {
      let slot = Int(slotOfRecord[displaced])
      worthOfSlot[slot] = policy.worth(displaced)
      refreshKey(slot)
    }
    let slot = Int(slotOfRecord[record])
    guard slot >= 0 else { return }
    worthOfSlot[slot] = worth
    lastUseOfSlot[slot] = time.sequence
    tokenOfSlot[slot] = time.token
    refreshKey(slot)
  }

  // MARK: What routers say

  /// A router has spoken for one token; `open` with what it chose follows, after all tokens of a
  /// step.
  ///
  /// - Parameters:
  ///   - row: which of the step's tokens it is.
  ///   - codes: of all the layer's experts, or nil.
  public mutating func observe(
    layer: Int, row: Int = 0, codes: UnsafePointer<UInt8>?, chosen: UnsafeBufferPointer<Int32>
  ) {
    guard policy.followsRouter else { return }
    policy.routed(
      RouterView(layer: layer, token: time.token, row: row, codes: codes, chosen: chosen))
    for record in recordBase[layer]..<recordBase[layer + 1] {
      let slot = Int(slotOfRecord[record])
      if slot >= 0 { worthOfSlot[slot] = policy.worth(record) }
    }
  }

  /// The same from a router's probabilities of all the layer's experts.
  public mutating func observe(
    layer: Int, row: Int = 0, probabilities: UnsafePointer<Float>,
    chosen: UnsafeBufferPointer<Int32>
  ) {
    guard policy.followsRouter else { return }
    // Taken out, so that it can be read while the rest changes.
    var codes: [UInt8] = []
    swap(&codes, &routerCodes)
    codes.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      RouterCode.encode(probabilities, count: layerExperts[layer], into: base)
      observe(layer: layer, row: row, codes: base, chosen: chosen)
    }
    swap(&codes, &routerCodes)
  }

  /// Places as many of the open request's experts as there are slots for.
  ///
  /// Every placed expert's slot is pinned.  In completion order all cached experts are placed
  /// first, so that no miss can evict them; in request order one after the other.
  public mutating func decide(into decision: inout CacheDecision) {
    decision.reset()
    if requestOrder == .completion, !residentsTaken {
      for position in requestRecords.indices { _ = placeResident(position, &decision) }
      residentsTaken = true
    }
    while cursor < requestRecords.count {
      if !isPlaced[cursor], !placeResident(cursor, &decision), !placeMiss(cursor, &decision) {
        break
      }
      cursor += 1
    }
    decision.deferredCount = requestRecords.count - placedCount
  }

  private mutating func markPlaced(_ position: Int) {
    isPlaced[position] = true
    placedCount += 1
    neededByRequest[Int(requestRecords[position])] = 0
  }

  private mutating func placeResident(_ position: Int, _ decision: inout CacheDecision) -> Bool {
    let slot = Int(slotOfRecord[Int(requestRecords[position])])
    guard slot >= 0 else { return false }
    pins[slot] += 1
    refreshKey(slot)
    let hit = CacheDecision.Hit(position: position, slot: slot, wasSpeculated: isSpeculated[slot])
    isSpeculated[slot] = false
    if fill[slot] == .ready { decision.hits.append(hit) } else { decision.adopted.append(hit) }
    markPlaced(position)
    return true
  }

  private mutating func placeMiss(_ position: Int, _ decision: inout CacheDecision) -> Bool {
    let record = Int(requestRecords[position])
    guard let slot = demandSlot(forRecord: record) else { return false }
    let evicted = evict(slot)
    occupy(slot, with: record, layer: requestLayer)
    tokenOfSlot[slot] = time.token
    lastUseOfSlot[slot] = requestSequence + position + 1
    pins[slot] = 1
    refreshKey(slot)
    isHeldMiss[slot] = true
    heldMisses += 1
    decision.misses.append(
      CacheDecision.Miss(position: position, record: record, slot: slot, evicted: evicted))
    markPlaced(position)
    return true
  }

  /// The engine is done with a placed expert, or its request was given up.
  public mutating func unpin(_ slot: Int) {
    guard pins[slot] > 0 else { return }
    pins[slot] -= 1
    refreshKey(slot)
    if isHeldMiss[slot] {
      isHeldMiss[slot] = false
      heldMisses -= 1
    }
  }

  /// Closes the request; its slots must have been unpinned.
  public mutating func close() {
    requestRecords.removeAll(keepingCapacity: true)
    request += 1
    cursor = 0
  }

  // MARK: Slots

  /// All bytes of the slot's record have arrived.
  public mutating func landed(_ slot: Int) {
    fill[slot] = .ready
    refreshKey(slot)
  }

  /// The slot's bytes are not to be used: the read failed or the checksum did not agree.
  public mutating func discard(_ slot: Int) {
    _ = evict(slot)
    if isHeldMiss[slot] {
      isHeldMiss[slot] = false
      heldMisses -= 1
    }
    pins[slot] = 0
  }

  /// Empties a slot and tells whose it was.
  mutating func evict(_ slot: Int) -> Int? {
    guard fill[slot] != .free else { return nil }
    let record = Int(recordOfSlot[slot])
    slotOfRecord[record] = -1
    recordOfSlot[slot] = -1
    residentCount[Int(layerOfSlot[slot])] -= 1
    fill[slot] = .free
    freeCount += 1
    keyOfSlot[slot] = .infinity
    policy.evicted(record)
    return record
  }

  mutating func occupy(_ slot: Int, with record: Int, layer: Int) {
    fill[slot] = .filling
    freeCount -= 1
    recordOfSlot[slot] = Int32(record)
    slotOfRecord[record] = Int32(slot)
    layerOfSlot[slot] = Int32(layer)
    residentCount[layer] += 1
    worthOfSlot[slot] = policy.worth(record)
    lastUseOfSlot[slot] = 0
    tokenOfSlot[slot] = -1
    isSpeculated[slot] = false
    awaitedBegin[slot] = -1
    keyOfSlot[slot] = .infinity
  }

  /// Brings the slot's key up to date with what it depends on.
  @inline(__always)
  mutating func refreshKey(_ slot: Int) {
    let isOpen =
      fill[slot] == .ready && pins[slot] == 0
      && awaitedBegin[slot] != layerBegins[Int(layerOfSlot[slot])]
    keyOfSlot[slot] = isOpen ? worthOfSlot[slot] : .infinity
  }

  /// Keys of all cached records of a layer.
  mutating func refresh(layer: Int) {
    for record in recordBase[layer]..<recordBase[layer + 1] {
      let slot = Int(slotOfRecord[record])
      if slot >= 0 { refreshKey(slot) }
    }
  }

  mutating func seed(_ record: Int, popularity: Double) {
    _ = policy.seeded(record, popularity: popularity)
  }
}
