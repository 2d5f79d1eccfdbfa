import Glibc

/// Monotonic time for statistics: one cheap call, no allocation.
public enum Clock {
  public static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  public static func seconds(since start: UInt64) -> Double {
    Double(nanoseconds() - start) / 1e9
  }
}
