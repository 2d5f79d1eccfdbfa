import CLinux
import Synchronization

/// What the threads of one parallel region take work from: a list that only grows.
///
/// Any thread may add and take.  A thread that finds nothing spins for some tens of microseconds
/// and then sleeps on a futex, so a region that waits for the disk burns no core.  All memory is
/// allocated once; `reset` makes the list empty for the next region.
struct TaskList {
  private typealias Word = UnsafeMutablePointer<Atomic<UInt32>>

  let capacity: Int
  /// Task number + 1; 0 while the place is reserved and not written.
  private let entries: UnsafeMutablePointer<Atomic<UInt32>>
  private let added = makeWord()
  private let taken = makeWord()
  private let completed = makeWord()
  private let closed = makeWord()
  /// Changes whenever a sleeper should look again.
  private let bell = makeWord()
  private let sleepers = makeWord()

  /// Pauses before a thread without work goes to sleep.
  private static let spinLimit = 2000

  init(capacity: Int) {
    self.capacity = capacity
    entries = .allocate(capacity: capacity)
    for index in 0..<capacity { (entries + index).initialize(to: Atomic(0)) }
  }

  func free() {
    entries.deallocate()
    for word in [added, taken, completed, closed, bell, sleepers] {
      UnsafeMutableRawPointer(word).deallocate()
    }
  }

  /// A cache line of its own, so that words do not disturb each other.
  private static func makeWord() -> Word {
    let line = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
    let word = line.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
    word.initialize(to: Atomic(0))
    return word
  }

  /// Empties the list; no other thread may use it meanwhile.
  func reset() {
    for index in 0..<Int(added.pointee.load(ordering: .relaxed)) {
      entries[index].store(0, ordering: .relaxed)
    }
    for word in [added, taken, completed, closed] { word.pointee.store(0, ordering: .relaxed) }
  }

  func add(_ task: UInt32) {
    let index = Int(added.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing).oldValue)
    precondition(index < capacity, "a bounded list overflows")
    entries[index].store(task + 1, ordering: .releasing)
    ring()
  }

  /// The oldest task nobody has taken, or nil when there is none now or the list is closed.
  func take() -> UInt32? {
    while true {
      guard !isClosed else { return nil }
      let index = taken.pointee.load(ordering: .acquiring)
      guard index < added.pointee.load(ordering: .acquiring) else { return nil }
      let (mine, _) = taken.pointee.compareExchange(
        expected: index, desired: index + 1, ordering: .acquiringAndReleasing)
      guard mine else { continue }
      while true {
        let entry = entries[Int(index)].load(ordering: .acquiring)
        if entry != 0 { return entry - 1 }
        fm_pause()
      }
    }
  }

  /// A taken task is done, with all the tasks it gave rise to added.
  func complete() { completed.pointee.wrappingAdd(1, ordering: .acquiringAndReleasing) }

  /// Whether every task added so far is done.
  var isIdle: Bool {
    completed.pointee.load(ordering: .acquiring) == added.pointee.load(ordering: .acquiring)
  }

  var isClosed: Bool { closed.pointee.load(ordering: .acquiring) != 0 }

  /// Nothing more will be taken; wakes whoever waits.
  func close() {
    closed.pointee.store(1, ordering: .sequentiallyConsistent)
    ring()
  }

  private func ring() {
    bell.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if sleepers.pointee.load(ordering: .sequentiallyConsistent) > 0 {
      fm_futex_wake(UnsafeRawPointer(bell).assumingMemoryBound(to: UInt32.self), Int32.max)
    }
  }

  /// Returns when there may be a task to take or the list is closed.
  func wait() {
    var spins = 0
    while !isClosed,
      taken.pointee.load(ordering: .acquiring) >= added.pointee.load(ordering: .acquiring)
    {
      spins += 1
      if spins < Self.spinLimit {
        fm_pause()
        continue
      }
      sleepers.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
      let heard = bell.pointee.load(ordering: .sequentiallyConsistent)
      if !isClosed,
        taken.pointee.load(ordering: .sequentiallyConsistent)
          >= added.pointee.load(ordering: .sequentiallyConsistent)
      {
        fm_futex_wait(UnsafeRawPointer(bell).assumingMemoryBound(to: UInt32.self), heard)
      }
      sleepers.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
  }
}
