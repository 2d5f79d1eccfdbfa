import Glibc
import Support
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 5, 8])
  func runsOnceOnEveryThread(threads: Int) throws {
    let pool = try WorkerPool(threadCount: threads)
    #expect(pool.threadCount == threads)
    for _ in 0..<200 {
      let seen = Mutex([Int]())
      pool.run { thread in seen.withLock { $0.append(thread) } }
      #expect(seen.withLock { $0.sorted() } == Array(0..<threads))
    }
  }

  @Test func aPoolOfNoThreadsIsOne() throws {
    #expect(try WorkerPool(threadCount: 0).threadCount == 1)
    #expect(try WorkerPool(threadCount: -3).threadCount == 1)
  }

  /// Many regions back to back, with rests that let the workers fall asleep between some.
  @Test func losesNoWakeUp() throws {
    let pool = try WorkerPool(threadCount: 3)
    let total = Atomic<Int>(0)
    var random = SeededRandom(seed: 3)
    for region in 0..<20_000 {
      pool.run { _ in total.wrappingAdd(1, ordering: .relaxed) }
      if region % 500 == 0 { usleep(UInt32(random.below(2000))) }
    }
    #expect(total.load(ordering: .relaxed) == 60_000)
  }

  /// What one region writes without locks, the caller and the next region read.
  @Test func ordersMemoryBetweenRegions() throws {
    let pool = try WorkerPool(threadCount: 4)
    let count = 1000
    nonisolated(unsafe) let values = UnsafeMutablePointer<Int>.allocate(capacity: count)
    defer { values.deallocate() }
    values.initialize(repeating: 0, count: count)
    for round in 1...500 {
      // Reversed shares, so that each value moves between threads.
      pool.run { thread in
        let owner = round % 2 == 0 ? thread : pool.threadCount - 1 - thread
        for at in pool.share(of: count, for: owner) { values[at] += round }
      }
      let sum = round * (round + 1) / 2
      #expect(values[0] == sum && values[count - 1] == sum && values[count / 2] == sum)
    }
  }

  @Test(arguments: [2, 3, 6])
  func barriersSeparatePhases(threads: Int) throws {
    let pool = try WorkerPool(threadCount: threads)
    let arrived = Atomic<Int>(0)
    let wrong = Atomic<Int>(0)
    let phases = 300
    pool.run { _ in
      for phase in 1...phases {
        arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
        pool.barrier()
        if arrived.load(ordering: .sequentiallyConsistent) != phase * threads {
          wrong.wrappingAdd(1, ordering: .relaxed)
        }
        pool.barrier()
      }
    }
    #expect(wrong.load(ordering: .relaxed) == 0)
    #expect(arrived.load(ordering: .relaxed) == phases * threads)
  }

  @Test func sharesCoverEverythingOnce() throws {
    for threads in [1, 2, 3, 7] {
      let pool = try WorkerPool(threadCount: threads)
      for count in [0, 1, 2, 6, 7, 8, 1000] {
        let shares = (0..<threads).map { pool.share(of: count, for: $0) }
        #expect(shares.flatMap { Array($0) } == Array(0..<count))
        let sizes = shares.map(\.count)
        #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
      }
    }
  }

  @Test func startsAndStopsManyTimes() throws {
    for round in 0..<300 {
      let pool = try WorkerPool(threadCount: 1 + round % 5)
      if round % 3 != 0 { pool.run { _ in } }
    }
  }
}
