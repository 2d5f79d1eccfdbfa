import CLinux
import Glibc
import Synchronization

/// A fixed set of threads that run one parallel region at a time.
///
/// The calling thread takes part as thread 0, so a pool of one thread never switches.  Workers
/// spin briefly between regions, because layers follow each other within microseconds, and then
/// sleep on a futex, so that waiting for a disk burns no core.
///
/// Only one thread may call `run` at a time; regions do not nest.
public final class WorkerPool: Sendable {
  public let threadCount: Int
  // Written by the caller before a region starts and read by workers after it did: the epoch's
  // release and acquire order the accesses, which the compiler cannot see.
  nonisolated(unsafe) private let shared: UnsafeMutablePointer<SharedState>
  private let handles: [pthread_t]

  /// A futex word: an atomic with a stable address.
  private typealias Word = UnsafeMutablePointer<Atomic<UInt32>>

  private struct SharedState {
    /// Counts regions; workers wait for it to move.
    let epoch = SharedState.makeWord()
    /// Workers that have not finished the region.
    let running = SharedState.makeWord()
    /// Workers asleep or about to sleep on `epoch`.
    let sleepers = SharedState.makeWord()
    let stopping = SharedState.makeWord()
    let barrierArrivals = SharedState.makeWord()
    let barrierPhase = SharedState.makeWord()
    var body: ((Int) -> Void)? = nil

    /// A cache line of its own for each word, so that workers do not disturb each other.
    private static func makeWord() -> Word {
      let line = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 64)
      let word = line.bindMemory(to: Atomic<UInt32>.self, capacity: 1)
      word.initialize(to: Atomic(0))
      return word
    }

    func free() {
      for word in [epoch, running, sleepers, stopping, barrierArrivals, barrierPhase] {
        UnsafeMutableRawPointer(word).deallocate()
      }
    }
  }

  private struct Start {
    let shared: UnsafeMutablePointer<SharedState>
    let index: Int
  }

  /// Pauses before a waiting worker goes to sleep: some tens of microseconds.
  private static let spinLimit = 4000

  /// - Parameter cpus: where the pool's own threads may run; nil leaves them to the scheduler.  The
  ///   caller, thread 0, stays where it is.
  /// - Throws: `Failure(.io)` when the system refuses a thread; none is left behind.
  public init(threadCount: Int, cpus: CPUSet? = nil) throws(Failure) {
    let count = max(1, threadCount)
    let shared = UnsafeMutablePointer<SharedState>.allocate(capacity: 1)
    shared.initialize(to: SharedState())
    var handles: [pthread_t] = []
    for index in 1..<count {
      let start = UnsafeMutablePointer<Start>.allocate(capacity: 1)
      start.initialize(to: Start(shared: shared, index: index))
      do throws(Failure) {
        handles.append(
          try Thread.start("worker \(index) of \(count)", cpus: cpus, argument: start) { argument in
            guard let argument else { return nil }
            let start = argument.assumingMemoryBound(to: Start.self).move()
            argument.deallocate()
            WorkerPool.work(start.shared, index: start.index)
            return nil
          })
      } catch {
        start.deallocate()
        Self.stop(shared, handles)
        throw error
      }
    }
    self.threadCount = count
    self.shared = shared
    self.handles = handles
  }

  deinit { Self.stop(shared, handles) }

  private static func stop(_ shared: UnsafeMutablePointer<SharedState>, _ handles: [pthread_t]) {
    shared.pointee.stopping.pointee.store(1, ordering: .releasing)
    advanceEpoch(shared)
    for handle in handles { pthread_join(handle, nil) }
    shared.pointee.free()
    shared.deinitialize(count: 1)
    shared.deallocate()
  }

  /// Runs `body(threadIndex)` once on every thread and returns when all have finished.
  ///
  /// The closure is not `@Sendable`, because regions share raw pointers: it must write only what
  /// belongs to its thread index between barriers.
  public func run(_ body: (_ threadIndex: Int) -> Void) {
    guard threadCount > 1 else { return body(0) }
    withoutActuallyEscaping(body) { escaping in
      shared.pointee.body = escaping
      shared.pointee.running.pointee.store(UInt32(threadCount - 1), ordering: .releasing)
      Self.advanceEpoch(shared)
      escaping(0)
      var spins = 0
      while true {
        let left = shared.pointee.running.pointee.load(ordering: .acquiring)
        if left == 0 { break }
        spins += 1
        if spins > Self.spinLimit {
          Self.sleep(on: shared.pointee.running, while: left)
        } else {
          fm_pause()
        }
      }
      shared.pointee.body = nil
    }
  }

  /// Inside a region: waits until every thread of the pool has arrived here.
  public func barrier() {
    guard threadCount > 1 else { return }
    let phase = shared.pointee.barrierPhase.pointee.load(ordering: .acquiring)
    let arrived = shared.pointee.barrierArrivals.pointee.wrappingAdd(
      1, ordering: .acquiringAndReleasing)
    if arrived.newValue == UInt32(threadCount) {
      shared.pointee.barrierArrivals.pointee.store(0, ordering: .relaxed)
      shared.pointee.barrierPhase.pointee.wrappingAdd(1, ordering: .releasing)
      return
    }
    var spins = 0
    while shared.pointee.barrierPhase.pointee.load(ordering: .acquiring) == phase {
      spins += 1
      // With more threads than free cores, spinning would starve the thread we wait for.
      if spins % Self.spinLimit == 0 { sched_yield() } else { fm_pause() }
    }
  }

  /// Splits `0 ..< count` into contiguous shares, the same for the same count and thread count.
  @inline(__always)
  public func share(of count: Int, for threadIndex: Int) -> Range<Int> {
    count * threadIndex / threadCount..<count * (threadIndex + 1) / threadCount
  }

  private static func sleep(on word: Word, while expected: UInt32) {
    fm_futex_wait(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), expected)
  }

  private static func wake(_ word: Word) {
    fm_futex_wake(UnsafeRawPointer(word).assumingMemoryBound(to: UInt32.self), Int32.max)
  }

  private static func advanceEpoch(_ shared: UnsafeMutablePointer<SharedState>) {
    shared.pointee.epoch.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if shared.pointee.sleepers.pointee.load(ordering: .sequentiallyConsistent) > 0 {
      wake(shared.pointee.epoch)
    }
  }

  private static func work(_ shared: UnsafeMutablePointer<SharedState>, index: Int) {
    var seen: UInt32 = 0
    while true {
      var spins = 0
      while shared.pointee.epoch.pointee.load(ordering: .acquiring) == seen {
        spins += 1
        if spins > spinLimit {
          shared.pointee.sleepers.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
          if shared.pointee.epoch.pointee.load(ordering: .sequentiallyConsistent) == seen {
            sleep(on: shared.pointee.epoch, while: seen)
          }
          shared.pointee.sleepers.pointee.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        } else {
          fm_pause()
        }
      }
      seen &+= 1
      if shared.pointee.stopping.pointee.load(ordering: .acquiring) != 0 { return }
      shared.pointee.body?(index)
      let left = shared.pointee.running.pointee.wrappingSubtract(
        1, ordering: .acquiringAndReleasing)
      if left.newValue == 0 {
        wake(shared.pointee.running)
      }
    }
  }
}
