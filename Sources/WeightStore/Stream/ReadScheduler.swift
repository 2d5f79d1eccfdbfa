import Glibc
import Support

/// Splits record reads into pieces, keeps a bounded number in flight, puts demand ahead of
/// speculation, and retries what may be retried.
///
/// A slot has at most one read at a time, so a read is named by its slot.  Finished reads wait in
/// `outcomes` for their owner; nothing is called back.
struct ReadScheduler: ~Copyable {
  typealias Origin = ReadAccounts.Origin

  /// EAGAIN, EINTR and reads that make no progress, for one piece.
  private static let retryLimit = 100
  /// Speculation starts when no more demand pieces than this are in flight.
  private static let quietPieces = 2

  private let reader: RecordReader
  private let files: LayerFiles
  let arena: SlotArena
  private let pieceBytes: Int
  var faults: ReadFaultPlan
  private let hasFaults: Bool

  private(set) var reads: [SlotRead]
  private(set) var pieces: [Piece]
  private var freePieces: IndexQueue
  private var retryPieces: IndexQueue
  private var demandQueue: IndexQueue
  private var speculativeQueue: IndexQueue
  private var finished: IndexQueue
  private var landedHeads: IndexQueue
  private let completions: UnsafeMutableBufferPointer<ReadCompletion>

  private(set) var piecesInFlight = 0
  private var demandPiecesInFlight = 0
  private(set) var activeSpeculations = 0
  private(set) var accounts = ReadAccounts()
  var activeReads: Int { accounts.activeReads }

  init(
    reader: RecordReader, files: LayerFiles, arena: SlotArena, depth: Int, pieceBytes: Int,
    faults: ReadFaultPlan
  ) {
    self.reader = reader
    self.files = files
    self.arena = arena
    self.pieceBytes = pieceBytes
    self.faults = faults
    hasFaults = !faults.faults.isEmpty
    reads = Array(repeating: SlotRead(), count: arena.slotCount)
    pieces = Array(repeating: Piece(), count: depth)
    freePieces = IndexQueue(capacity: depth)
    for piece in 0..<depth { freePieces.append(piece) }
    retryPieces = IndexQueue(capacity: depth)
    demandQueue = IndexQueue(capacity: arena.slotCount)
    speculativeQueue = IndexQueue(capacity: arena.slotCount)
    finished = IndexQueue(capacity: arena.slotCount)
    landedHeads = IndexQueue(capacity: arena.slotCount)
    completions = .allocate(capacity: depth)
  }

  deinit { completions.deallocate() }

  // MARK: What to read

  /// Starts the read of a whole record into its slot.
  ///
  /// - Parameter headBytes: a multiple of 4096; `nextLandedHead` tells when so much is there.
  mutating func start(
    slot: Int, layer: Int, expert: Int, offset: Int, bytes: Int, headBytes: Int, origin: Origin
  ) {
    precondition(!reads[slot].isActive, "a slot has one read at a time")
    reads[slot] = SlotRead(
      layer: layer, expert: expert, offset: offset, bytes: bytes,
      headBytes: min(headBytes, bytes), origin: origin, isDemand: origin != .speculation,
      isActive: true)
    accounts.readBegan()
    if origin == .speculation {
      activeSpeculations += 1
      speculativeQueue.append(slot)
    } else {
      accounts.demandBegan()
      demandQueue.append(slot)
    }
  }

  /// The router asked for a record that is being read: it is not speculative or abandoned any more.
  mutating func adopt(slot: Int) {
    guard reads[slot].isActive else { return }
    let isComplete = reads[slot].issuedBytes == reads[slot].bytes
    if reads[slot].isAbandoned {
      reads[slot].isAbandoned = false
      if !isComplete { demandQueue.append(slot) }
    }
    if !reads[slot].isDemand {
      reads[slot].isDemand = true
      activeSpeculations -= 1
      demandPiecesInFlight += reads[slot].outstandingPieces
      accounts.demandBegan()
      if !isComplete {
        speculativeQueue.remove(slot)
        demandQueue.append(slot)
      }
    }
  }

  /// Nobody waits for this demand read any more.  Pieces that were not issued never will be; the
  /// slot is its own again when `nextOutcome` says so.
  mutating func abandon(slot: Int) {
    guard reads[slot].isActive, reads[slot].isDemand, !reads[slot].hasFailed,
      reads[slot].issuedBytes < reads[slot].bytes
    else { return }
    demandQueue.remove(slot)
    reads[slot].isAbandoned = true
    finishIfDone(slot)
  }

  /// Drops speculative reads of which no piece has been issued; they end as abandoned.
  mutating func abandonQueuedSpeculation() {
    for _ in 0..<speculativeQueue.count {
      guard let slot = speculativeQueue.popFirst() else { return }
      if reads[slot].issuedBytes > 0 {
        speculativeQueue.append(slot)
      } else {
        reads[slot].isAbandoned = true
        finishIfDone(slot)
      }
    }
  }

  /// Whether speculation would not be in demand's way now.
  var isQuiet: Bool { isDemandIssued && demandPiecesInFlight <= Self.quietPieces }

  /// Whether all that demand wants is with the disk and there is room for more.
  var isDemandIssued: Bool { demandQueue.isEmpty && retryPieces.isEmpty && !freePieces.isEmpty }

  // MARK: Reading

  /// Issues pieces while there is room: retries, then demand, then speculation.
  mutating func pump() throws(SystemError) {
    while let piece = retryPieces.first {
      guard issue(piece) else { break }
      _ = retryPieces.popFirst()
    }
    while let slot = demandQueue.first, issueNextPiece(of: slot) {
      if reads[slot].issuedBytes == reads[slot].bytes || reads[slot].hasFailed {
        _ = demandQueue.popFirst()
      }
    }
    if demandQueue.isEmpty {
      while let slot = speculativeQueue.first, issueNextPiece(of: slot) {
        if reads[slot].issuedBytes == reads[slot].bytes || reads[slot].hasFailed {
          _ = speculativeQueue.popFirst()
        }
      }
    }
    let code = reader.flush()
    if code != 0 { throw SystemError(code: code) }
  }

  /// - Returns: false when there is no room for another piece.
  private mutating func issueNextPiece(of slot: Int) -> Bool {
    if reads[slot].hasFailed { return true }
    guard let piece = freePieces.first else { return false }
    let offset = reads[slot].issuedBytes
    let isHead = offset < reads[slot].headBytes
    let end = isHead ? reads[slot].headBytes : reads[slot].bytes
    let bytes = min(pieceBytes, end - offset)
    pieces[piece] = Piece(slot: slot, offset: offset, bytes: bytes, isHead: isHead)
    guard issue(piece) else { return false }
    _ = freePieces.popFirst()
    reads[slot].issuedBytes += bytes
    reads[slot].outstandingPieces += 1
    if isHead { reads[slot].outstandingHeadPieces += 1 }
    if reads[slot].isDemand { demandPiecesInFlight += 1 }
    return true
  }

  private mutating func issue(_ piece: Int) -> Bool {
    let slot = pieces[piece].slot
    let queued = reader.queue(
      ReadOperation(
        piece: piece, file: reads[slot].layer, slot: slot,
        offset: reads[slot].offset + pieces[piece].offset, bytes: pieces[piece].bytes,
        destination: arena.slot(slot) + pieces[piece].offset))
    if queued { piecesInFlight += 1 }
    return queued
  }

  /// Takes completions; with `wait`, sleeps in the kernel until one arrives or a signal does.
  mutating func reap(wait: Bool) throws(SystemError) {
    guard piecesInFlight > 0 else { return }
    let count = reader.collect(into: completions, wait: wait)
    guard count >= 0 else { throw SystemError(code: Int32(-count)) }
    for index in 0..<count {
      piecesInFlight -= 1
      complete(completions[index].piece, completions[index].result)
    }
  }

  private mutating func complete(_ piece: Int, _ completion: Int) {
    let slot = pieces[piece].slot
    var result = completion
    if hasFaults { result = injected(piece, result) }
    accounts.completedReads += 1
    // The record is lost already; only its pieces have to come home.
    if reads[slot].hasFailed { return finishPiece(piece) }
    if result == pieces[piece].bytes {
      accounts.add(result, to: reads[slot].origin)
      return finishPiece(piece)
    }
    if result > 0 {
      let progress = result / RecordLayout.alignment * RecordLayout.alignment
      accounts.add(progress, to: reads[slot].origin)
      pieces[piece].offset += progress
      pieces[piece].bytes -= progress
      if progress > 0 { pieces[piece].retries = 0 }
      if retry(piece) { return }
      return fail(piece, 0)
    }
    let code = Int32(-result)
    if code == EINTR || code == EAGAIN, retry(piece) { return }
    fail(piece, code)
  }

  private mutating func retry(_ piece: Int) -> Bool {
    guard pieces[piece].retries < Self.retryLimit else { return false }
    pieces[piece].retries += 1
    // A resource that is short for more than a moment: give it time.
    if pieces[piece].retries > 4 { usleep(500) }
    retryPieces.append(piece)
    return true
  }

  private mutating func fail(_ piece: Int, _ code: Int32) {
    let slot = pieces[piece].slot
    reads[slot].hasFailed = true
    reads[slot].errorCode = code
    reads[slot].errorOffset = reads[slot].offset + pieces[piece].offset
    demandQueue.remove(slot)
    speculativeQueue.remove(slot)
    finishPiece(piece)
  }

  private mutating func finishPiece(_ piece: Int) {
    let slot = pieces[piece].slot
    freePieces.append(piece)
    reads[slot].outstandingPieces -= 1
    if reads[slot].isDemand { demandPiecesInFlight -= 1 }
    if pieces[piece].isHead {
      reads[slot].outstandingHeadPieces -= 1
      if isHeadLanded(slot) { landedHeads.append(slot) }
    }
    finishIfDone(slot)
  }

  /// Whether the head of a read that still goes on has arrived.
  func isHeadLanded(_ slot: Int) -> Bool {
    let read = reads[slot]
    return read.isActive && !read.hasFailed && read.outstandingHeadPieces == 0
      && read.issuedBytes >= read.headBytes
  }

  /// A slot whose head has landed since the last call; its read may have ended since.
  mutating func nextLandedHead() -> Int? { landedHeads.popFirst() }

  private mutating func finishIfDone(_ slot: Int) {
    guard reads[slot].isActive, reads[slot].outstandingPieces == 0 else { return }
    guard
      reads[slot].issuedBytes == reads[slot].bytes || reads[slot].hasFailed
        || reads[slot].isAbandoned
    else { return }
    reads[slot].isActive = false
    accounts.readEnded()
    if reads[slot].isDemand { accounts.demandEnded() } else { activeSpeculations -= 1 }
    if !files.isDirect {
      files.dropPages(
        layer: reads[slot].layer, offset: reads[slot].offset, bytes: reads[slot].issuedBytes)
    }
    finished.append(slot)
  }

  /// A read that has ended since the last call.
  mutating func nextOutcome() -> (slot: Int, outcome: Outcome)? {
    guard let slot = finished.popFirst() else { return nil }
    if reads[slot].isAbandoned { return (slot, .abandoned) }
    if reads[slot].hasFailed {
      return (slot, .failed(code: reads[slot].errorCode, offset: reads[slot].errorOffset))
    }
    return (slot, .landed)
  }

  /// Bytes and times from now on.
  mutating func resetAccounts() { accounts.reset() }
}
