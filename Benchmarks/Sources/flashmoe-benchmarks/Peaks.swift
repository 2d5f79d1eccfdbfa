import CPeaks
import Glibc
import Support
import Synchronization

/// What this machine gives so many threads at best: the limits of everything else.
struct Peaks: Sendable {
  /// Bytes a second of reads that no cache answers.
  var memory: Double
  /// 8-bit operations a second; two a multiply-add.
  var integer: Double
  /// The same without a matrix engine.
  var integerVector: Double
  var float: Double
  var integerName: String
  var floatName: String

  private static let seconds = 0.5

  static func measure(_ pool: WorkerPool) throws(Failure) -> Peaks {
    Peaks(
      memory: try memory(pool), integer: rate(pool, peaks_integer),
      integerVector: rate(pool, peaks_integer_vector), float: rate(pool, peaks_float),
      integerName: String(cString: peaks_integer_name()),
      floatName: String(cString: peaks_float_name()))
  }

  private static func rate(
    _ pool: WorkerPool, _ loop: @convention(c) @Sendable (UInt64) -> Double
  ) -> Double {
    let total = Mutex(0.0)
    pool.run { _ in
      let start = Clock.nanoseconds()
      var done = 0.0
      var elapsed = 0.0
      repeat {
        let operations = loop(64)
        guard operations > 0 else { return }
        done += operations
        elapsed = Clock.seconds(since: start)
      } while elapsed < seconds
      let rate = done / elapsed
      total.withLock { $0 += rate }
    }
    return total.withLock { $0 }
  }

  private static func memory(_ pool: WorkerPool) throws(Failure) -> Double {
    let sliceBytes = 1 << 20
    let shareBytes = Memory.beyondCacheBytes / pool.threadCount / sliceBytes * sliceBytes
    let memory = try Memory(byteCount: shareBytes * pool.threadCount)
    let total = Mutex(0.0)
    let sink = Atomic<UInt64>(0)
    pool.run { thread in
      let share = memory.base + thread * shareBytes
      // Untouched pages are all one page of zeros, which every cache holds.
      memset(share, Int32(thread + 1), shareBytes)
      let start = Clock.nanoseconds()
      var bytes = 0
      var elapsed = 0.0
      repeat {
        sink.bitwiseXor(peaks_read(share + bytes % shareBytes, sliceBytes), ordering: .relaxed)
        bytes += sliceBytes
        elapsed = Clock.seconds(since: start)
      } while elapsed < seconds
      let rate = Double(bytes) / elapsed
      total.withLock { $0 += rate }
    }
    return total.withLock { $0 }
  }
}

/// Page-aligned memory in large pages, as weights lie in an engine.
final class Memory: @unchecked Sendable {
  /// More than last-level caches hold.
  static let beyondCacheBytes = 512 << 20

  let base: UnsafeMutableRawPointer
  let byteCount: Int

  init(byteCount: Int) throws(Failure) {
    guard
      let base = mmap(
        nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      base != MAP_FAILED
    else { throw Failure.system("memory", "cannot get \(ByteCount.format(byteCount))", errno) }
    madvise(base, byteCount, Int32(MADV_HUGEPAGE))
    self.base = base
    self.byteCount = byteCount
  }

  deinit { munmap(base, byteCount) }
}
