import Glibc
import Support
import Synchronization
import TestSupport
import Testing

@Suite struct ThreadPlacementTests {
  private func decide(
    _ machine: String, _ choice: ThreadPlacement.Choice = .automatic, threads: Int? = nil,
    allowed: CPUSet? = nil, quota: Double? = nil
  ) throws -> ThreadPlacement {
    let tree = try RecordedTree(machine)
    return try ThreadPlacement(
      choice, threadCount: threads, topology: ProcessorTopology(root: tree.root), allowed: allowed,
      quota: quota)
  }

  @Test func hybridProcessorsComputeOnPerformanceCores() throws {
    let laptop = try decide("core-ultra-155h")
    #expect(laptop.compute == [0, 2, 4, 6, 8, 10])
    #expect(laptop.service == CPUSet(12...19))
    #expect(laptop.defaultThreadCount == 6)
    #expect(laptop.summary.contains("0,2,4,6,8,10") && laptop.summary.contains("12-19"))
    let mixed = try decide("ryzen-ai-370")
    #expect(mixed.compute == [0, 1, 2, 3] && mixed.defaultThreadCount == 4)
    #expect(mixed.service == CPUSet(Array(4...11) + Array(16...23)))
    let arm = try decide("rk3588")
    #expect(arm.compute == [4, 5, 6, 7] && arm.service == [0, 1, 2, 3])
  }

  @Test func otherProcessorsAreLeftToTheScheduler() throws {
    for (machine, cores) in [
      ("ryzen-7700x", 8), ("virtual-machine", 2), ("two-sockets", 4), ("broken", 4),
      ("siblings-offline", 4),
    ] {
      let placement = try decide(machine)
      #expect(placement.compute == nil && placement.service == nil, "\(machine)")
      #expect(placement.defaultThreadCount == cores, "\(machine)")
      #expect(placement.summary.contains("not pinned"))
    }
    // No tree at all: what the scheduler allows counts.
    let blind = try decide("broken-online", allowed: [2, 5, 6])
    #expect(blind.defaultThreadCount == 3 && blind.compute == nil)
  }

  @Test func moreThreadsTakeSiblingsThenEverything() throws {
    #expect(try decide("alder-lake-12700", threads: 3).compute == CPUSet((0..<8).map { $0 * 2 }))
    #expect(try decide("alder-lake-12700", threads: 9).compute == CPUSet(0...15))
    let all = try decide("alder-lake-12700", threads: 17)
    #expect(all.compute == nil && all.service == nil)
    #expect(all.summary.contains("17 threads"))
  }

  @Test func affinityAndQuotaCount() throws {
    let half = try decide("alder-lake-12700", allowed: [1, 2, 3, 4, 17, 18])
    #expect(half.compute == [1, 2, 4] && half.service == [17, 18])
    #expect(half.defaultThreadCount == 3)
    // One kind of core allowed: nothing to tell apart.
    let slow = try decide("alder-lake-12700", allowed: [16, 17, 18])
    #expect(slow.compute == nil && slow.defaultThreadCount == 3)
    let fast = try decide("alder-lake-12700", allowed: [0, 1, 2])
    #expect(fast.compute == nil && fast.defaultThreadCount == 2)
    #expect(try decide("alder-lake-12700", quota: 1.5).defaultThreadCount == 2)
    #expect(try decide("alder-lake-12700", quota: 0.1).defaultThreadCount == 1)
    #expect(try decide("alder-lake-12700", quota: 64).defaultThreadCount == 8)
  }

  @Test func listsAreTakenAsTheyAre() throws {
    let listed = try decide("alder-lake-12700", .processors([0, 1, 16]))
    #expect(listed.compute == [0, 1, 16] && listed.defaultThreadCount == 3)
    #expect(listed.service == [17, 18, 19])
    let all = try decide("virtual-machine", .processors([0, 1, 2, 3]))
    #expect(all.compute == [0, 1, 2, 3] && all.service == [0, 1, 2, 3])
    let off = try decide("alder-lake-12700", .off)
    #expect(off.compute == nil && off.service == nil && off.defaultThreadCount == 8)
    #expect(
      complaint("", .usage, ["--cpus", "processor 20-21", "It may use 0-19"]) {
        _ = try decide("alder-lake-12700", .processors([3, 20, 21]))
      } == nil)
    #expect(
      complaint("", .usage, ["--cpus", "processor 3", "It may use 0-1"]) {
        _ = try decide("alder-lake-12700", .processors([0, 3]), allowed: [0, 1])
      } == nil)
    #expect(
      complaint("", .usage, ["4 threads on 2 processors", "--threads"]) {
        _ = try decide("alder-lake-12700", .processors([0, 1]), threads: 4)
      } == nil)
  }

  // MARK: Real threads

  private static func own() -> CPUSet? { CPUSet.allowed(task: 0) }

  @Test func threadsRunWhereTheyArePut() throws {
    let allowed = try #require(CPUSet.allowed())
    let last = CPUSet(allowed.members.suffix(1))
    let thread = try SerialThread(name: "pinned", cpus: last)
    #expect(thread.perform { Self.own() } == last)
    // A pinned thread's children run elsewhere only when that is said.
    let children = thread.perform { () -> [CPUSet?] in
      let seen = Mutex([CPUSet?]())
      for cpus in [nil, allowed] {
        let pool = try? WorkerPool(threadCount: 2, cpus: cpus)
        pool?.run { index in if index == 1 { seen.withLock { $0.append(Self.own()) } } }
      }
      return seen.withLock { $0 }
    }
    #expect(children == [last, allowed])
    #expect(CPUSet.allowed() == allowed)
    let loose = try SerialThread(name: "loose")
    #expect(loose.perform { Self.own() } == Self.own())
  }

  /// A thread that cannot be started is an error, and those before it are gone.
  @Test func refusedThreadsAreFailures() throws {
    let nowhere: CPUSet = [8190]
    try #require(CPUSet.allowed()?.contains(8190) == false)
    let before = try FileSystem.list("/proc/self/task").count
    for _ in 0..<20 {
      #expect(
        complaint("", .io, ["worker 1 of 4", "refuses", "8190", "--cpus off"]) {
          _ = try WorkerPool(threadCount: 4, cpus: nowhere)
        } == nil)
      #expect(
        complaint("", .io, ["thread lost", "refuses"]) {
          _ = try SerialThread(name: "lost", cpus: nowhere)
        } == nil)
    }
    // Other tests start threads meanwhile, but not forty.
    #expect(try FileSystem.list("/proc/self/task").count < before + 40)
    #expect(try WorkerPool(threadCount: 1, cpus: nowhere).threadCount == 1)
  }
}
