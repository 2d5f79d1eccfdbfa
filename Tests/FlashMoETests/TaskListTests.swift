import Support
import Synchronization
import Testing

@testable import FlashMoE

@Suite struct TaskListTests {
  /// Tasks that add tasks, taken by all threads: each runs once, and nobody sleeps through the end.
  @Test(arguments: [1, 2, 5])
  func everyTaskRunsOnce(threads: Int) throws {
    let (roots, children) = (40, 5)
    let total = roots * (1 + children)
    let list = TaskList(capacity: total)
    defer { list.free() }
    let pool = try WorkerPool(threadCount: threads)
    let runs = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: total)
    defer { runs.deallocate() }
    for round in 0..<50 {
      for index in 0..<total { (runs + index).initialize(to: Atomic(0)) }
      let left = Atomic<UInt32>(UInt32(total))
      list.reset()
      pool.run { thread in
        // Roots trickle in, sometimes after the others went to sleep.
        var given = 0
        while !list.isClosed {
          if thread == 0, given < roots {
            if round % 10 == 0, given % 8 == 0 { Pause.microseconds(300) }
            list.add(UInt32(given))
            given += 1
          }
          guard let task = list.take() else {
            if thread > 0 { list.wait() }
            continue
          }
          runs[Int(task)].wrappingAdd(1, ordering: .relaxed)
          if task < roots {
            for child in 0..<children { list.add(UInt32(roots + Int(task) * children + child)) }
          }
          list.complete()
          if left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
            list.close()
          }
        }
      }
      #expect(list.isIdle)
      for index in 0..<total { #expect(runs[index].load(ordering: .relaxed) == 1) }
    }
  }

  @Test func aClosedListGivesNothing() {
    let list = TaskList(capacity: 4)
    defer { list.free() }
    list.add(2)
    #expect(!list.isIdle)
    list.close()
    #expect(list.take() == nil)
    // Returns at once.
    list.wait()
    list.reset()
    #expect(list.take() == nil)
    list.add(3)
    #expect(list.take() == 3)
    list.complete()
    #expect(list.isIdle)
  }
}

private enum Pause {
  static func microseconds(_ count: UInt64) {
    let end = Clock.nanoseconds() + 1000 * count
    while Clock.nanoseconds() < end {}
  }
}
