import CKernels
import Glibc
import Support
import Synchronization

/// How fast these threads read memory that no cache holds.
public enum MemoryProbe {
  public static let defaultBufferBytes = 256 << 20
  private static let sliceBytes = 1 << 20

  /// Streams over a buffer with the widest loads the processor has.
  ///
  /// The number is what products with resident weights cannot exceed.
  ///
  /// - Parameters:
  ///   - threads: threads that read at once, each its own part.
  ///   - seconds: how long to read, after the buffer was filled once.
  ///   - budgetBytes: the buffer is at most this large; below twice the last-level cache the
  ///     number speaks of the cache.
  /// - Returns: bytes per second, all threads together.
  /// - Throws: `Failure(.budget)` when the system has no such memory.
  public static func measure(
    threads: Int = EngineOptions.processorCount, seconds: Double = 0.3,
    budgetBytes: Int = defaultBufferBytes
  ) throws(Failure) -> Double {
    let pool = try WorkerPool(threadCount: min(max(threads, 1), 1024))
    let byteCount =
      max(
        min(budgetBytes, defaultBufferBytes) / sliceBytes, pool.threadCount) * sliceBytes
    let arena = try Arena(byteCount: byteCount)
    let base = arena.base
    let sliceCount = byteCount / sliceBytes
    // Untouched pages are all one page of zeros, which every cache holds.
    pool.run { thread in
      let share = pool.share(of: sliceCount, for: thread)
      memset(base + share.lowerBound * sliceBytes, Int32(thread + 1), share.count * sliceBytes)
    }
    let total = Atomic<Int>(0)
    let sink = Atomic<UInt64>(0)
    let level = fm_best_level()
    let start = Clock.nanoseconds()
    let end = start + UInt64(max(seconds, 0) * 1e9)
    pool.run { thread in
      let share = pool.share(of: sliceCount, for: thread)
      var (slice, bytes, mixed) = (share.lowerBound, 0, UInt64(0))
      repeat {
        mixed ^= fm_probe_read_at(level, base + slice * sliceBytes, sliceBytes)
        bytes += sliceBytes
        slice = slice + 1 < share.upperBound ? slice + 1 : share.lowerBound
      } while Clock.nanoseconds() < end
      total.wrappingAdd(bytes, ordering: .relaxed)
      sink.bitwiseXor(mixed, ordering: .relaxed)
    }
    let elapsed = Clock.seconds(since: start)
    return elapsed > 0 ? Double(total.load(ordering: .relaxed)) / elapsed : 0
  }
}
