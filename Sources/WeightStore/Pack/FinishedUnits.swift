import Support
import Synchronization

/// Which units of an unfinished pack are really there: their bytes read back, their checksums right.
enum FinishedUnits {
  static func sound(
    _ units: PackUnits, in store: String, journal: [Int: PackJournal.Entry], pool: WorkerPool
  ) throws(Failure) -> [Int: PackJournal.Entry] {
    let candidates = journal.keys.sorted().filter {
      journal[$0]?.errors.count == units.units[$0].pieces.count
    }
    let next = Atomic<Int>(0)
    let outcome = Mutex<Result<[Int: PackJournal.Entry], Failure>>(.success([:]))
    pool.run { _ in
      while true {
        let at = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard at < candidates.count else { return }
        let unit = candidates[at]
        do throws(Failure) {
          guard let entry = journal[unit], try isSound(units, unit, entry, in: store) else {
            continue
          }
          outcome.withLock { result in
            if case .success(var entries) = result {
              // Taken out first, so that the dictionary is not copied.
              result = .success([:])
              entries[unit] = entry
              result = .success(entries)
            }
          }
        } catch {
          outcome.withLock { $0 = .failure(error) }
          return
        }
      }
    }
    return try outcome.withLock { $0 }.get()
  }

  private static func isSound(
    _ units: PackUnits, _ at: Int, _ entry: PackJournal.Entry, in store: String
  ) throws(Failure) -> Bool {
    let unit = units.units[at]
    let item = units.items[unit.item]
    let file = try File(store + "/" + item.file, .update)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(1, unit.end - unit.begin), alignment: 64)
    defer { buffer.deallocate() }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(unit.end - unit.begin)])
    try file.read(into: bytes, at: item.offset + unit.begin)
    return Checksum(of: UnsafeRawBufferPointer(bytes)) == entry.checksum
  }
}
