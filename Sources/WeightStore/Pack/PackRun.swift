import Glibc
import Support
import Synchronization

/// One packing run's shared state, and what each worker does.
///
/// Workers take units in order.  Each reads, quantizes, writes and hashes its unit alone, so that
/// disk and processor are busy at once and no byte depends on who did what when.
final class PackRun: Sendable {
  struct Outcome: Sendable {
    /// One checksum an item.
    var checksums: [Checksum]
    /// One list a unit, one entry a piece.
    var errors: [[PieceError]]
    var resumedSourceBytes: Int
  }

  private struct State: ~Copyable {
    var journal: PackJournal
    var checksums: [Checksum?]
    var errors: [[PieceError]]
    var failure: (unit: Int, failure: Failure)?
    var sourceBytes = 0
    var storeBytes = 0
    var resumedSourceBytes = 0
    /// Written and not yet flushed: files by name, and bytes in all.
    var dirty: Set<String> = []
    var dirtyBytes = 0
    var readBytes = 0
    var lastReport: UInt64 = 0
  }

  /// Flushing and dropping pages at this distance keeps the page cache out of the way.
  private static let flushBytes = 256 << 20
  private static let reportNanoseconds: UInt64 = 100_000_000

  private let units: PackUnits
  private let store: String
  private let options: PackOptions
  private let schedule: PackSchedule
  private let finished: [Int: PackJournal.Entry]
  private let searchesScales: Bool
  private let dropSourceCache: @Sendable () -> Void
  private let start: UInt64
  private let progress: @Sendable (PackProgress) -> Void
  private let totalSourceBytes: Int
  private let totalStoreBytes: Int
  private let next = Atomic<Int>(0)
  private let isStopped = Atomic<Bool>(false)
  private let hashing = OrderedHashing()
  private let state: Mutex<State>

  init(
    units: PackUnits, store: String, options: PackOptions, schedule: PackSchedule,
    finished: [Int: PackJournal.Entry], journal: consuming PackJournal, searchesScales: Bool,
    dropSourceCache: @escaping @Sendable () -> Void, start: UInt64,
    progress: @escaping @Sendable (PackProgress) -> Void
  ) {
    self.units = units
    self.store = store
    self.options = options
    self.schedule = schedule
    self.finished = finished
    self.searchesScales = searchesScales
    self.dropSourceCache = dropSourceCache
    self.start = start
    self.progress = progress
    totalSourceBytes = units.units.reduce(0) { $0 + $1.sourceBytes }
    totalStoreBytes = units.units.reduce(0) { $0 + $1.end - $1.begin }
    state = Mutex(
      State(
        journal: journal, checksums: Array(repeating: nil, count: units.items.count),
        errors: Array(repeating: [], count: units.units.count)))
  }

  /// A worker's whole life.
  func work(_ sizes: WorkingBytes) {
    var producer = UnitProducer(sizes, searchesScales: searchesScales)
    while !isStopped.load(ordering: .acquiring) {
      let turn = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard turn < schedule.order.count else { return }
      let at = schedule.order[turn]
      do throws(Failure) {
        if options.isCancelled() {
          throw Failure(.cancelled, FileSystem.parent(of: store), "packing was interrupted")
        }
        try complete(at, with: &producer)
        schedule.finish(at)
      } catch {
        fail(at, error)
        return
      }
    }
  }

  /// The result, or the failure of the earliest unit that failed.
  func outcome() throws(Failure) -> Outcome {
    let result: Result<Outcome, Failure> = state.withLock { state in
      if let failure = state.failure { return .failure(failure.failure) }
      let checksums = state.checksums.compactMap { $0 }
      guard checksums.count == state.checksums.count else {
        return .failure(Failure(.io, store, "a checksum is missing: out of memory"))
      }
      return .success(
        Outcome(
          checksums: checksums, errors: state.errors, resumedSourceBytes: state.resumedSourceBytes))
    }
    return try result.get()
  }

  private func fail(_ unit: Int, _ failure: Failure) {
    state.withLock { state in
      if let known = state.failure {
        // Whoever waited for a file and was told to stop has no failure of its own.
        let (wasStopped, isStopped) = (known.failure.kind == .cancelled, failure.kind == .cancelled)
        if wasStopped == isStopped ? known.unit <= unit : isStopped { return }
      }
      state.failure = (unit, failure)
    }
    isStopped.store(true, ordering: .releasing)
    hashing.abort()
    schedule.stop()
  }

  private func complete(_ at: Int, with producer: inout UnitProducer) throws(Failure) {
    let unit = units.units[at]
    let item = units.items[unit.item]
    let path = store + "/" + item.file
    let file = try File(path, .update)
    let buffer = producer.buffer(for: unit)
    let offset = item.offset + unit.begin

    var isResumed = false
    if let entry = finished[at], entry.errors.count == unit.pieces.count {
      try file.read(into: buffer, at: offset)
      if Checksum(of: UnsafeRawBufferPointer(buffer)) == entry.checksum {
        state.withLock { $0.errors[at] = entry.errors }
        isResumed = true
      }
    }
    if !isResumed {
      try schedule.wait(for: at)
      let errors = try producer.produce(unit, of: item)
      try options.beforeWrite(at, path)
      try file.write(UnsafeRawBufferPointer(buffer), at: offset)
      let checksum = Checksum(of: UnsafeRawBufferPointer(buffer))
      try record(at, checksum, errors)
      try flush(item.file, written: buffer.count)
      dropSource(producer.takeBytesRead())
      try options.afterUnit(at)
    }

    let hashed = min(unit.end, item.bytes) - unit.begin
    let checksum = hashing.add(
      UnsafeRawBufferPointer(rebasing: buffer[0..<hashed]), item: unit.item,
      ordinal: at - item.firstUnit, of: item.unitCount)
    report(unit, checksum, isResumed: isResumed)
  }

  private func record(_ at: Int, _ checksum: Checksum, _ errors: [PieceError]) throws(Failure) {
    let failure: Failure? = state.withLock { state in
      state.errors[at] = errors
      do throws(Failure) {
        try state.journal.add(PackJournal.Entry(unit: at, checksum: checksum, errors: errors))
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  /// Now and then one worker writes everyone's pages back and drops them; the others go on.
  private func flush(_ name: String, written: Int) throws(Failure) {
    let due: Set<String> = state.withLock { state in
      state.dirty.insert(name)
      state.dirtyBytes += written
      guard state.dirtyBytes >= Self.flushBytes else { return [] }
      let due = state.dirty
      state.dirty = []
      state.dirtyBytes = 0
      return due
    }
    for name in due {
      let file = try File(store + "/" + name, .update)
      guard fdatasync(file.descriptor) == 0 else {
        throw Failure.system(file.path, "cannot flush to disk", errno)
      }
      file.dropCache()
    }
  }

  private func dropSource(_ bytes: Int) {
    let isDue = state.withLock { state in
      state.readBytes += bytes
      guard state.readBytes >= Self.flushBytes else { return false }
      state.readBytes = 0
      return true
    }
    if isDue { dropSourceCache() }
  }

  private func report(_ unit: PackUnits.Unit, _ checksum: Checksum?, isResumed: Bool) {
    state.withLock { state in
      if let checksum { state.checksums[unit.item] = checksum }
      state.sourceBytes += unit.sourceBytes
      state.storeBytes += unit.end - unit.begin
      if isResumed { state.resumedSourceBytes += unit.sourceBytes }
      let now = Clock.nanoseconds()
      let isLast = state.storeBytes == totalStoreBytes
      guard isLast || now - state.lastReport >= Self.reportNanoseconds else { return }
      state.lastReport = now
      progress(
        PackProgress(
          sourceBytes: state.sourceBytes, totalSourceBytes: totalSourceBytes,
          storeBytes: state.storeBytes, totalStoreBytes: totalStoreBytes,
          resumedSourceBytes: state.resumedSourceBytes, seconds: Clock.seconds(since: start)))
    }
  }
}
