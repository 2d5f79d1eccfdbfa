import Glibc

/// The time of day, for dates that others will read.
enum WallClock {
  static func seconds() -> Int { Int(time(nil)) }
}
