import Glibc
import Support

/// What the kernel says about this process's memory.
public struct ProcessMemory: Sendable {
  /// Highest memory use so far, in bytes.
  public var peakBytes: Int
  /// Where the number comes from, for people who compare it.
  public var source: String
  /// The control group's limit, if there is one below the machine's memory.
  public var limitBytes: Int?

  /// Inside a limited control group its own peak is taken (page cache included); elsewhere the
  /// process's peak without the clean pages of program files, which belong to everybody.
  public static func current() -> ProcessMemory {
    if let group = ControlGroup.current(), let peak = group.peakBytes {
      return ProcessMemory(
        peakBytes: peak, source: "control group", limitBytes: group.limitBytes)
    }
    let peak = status("VmHWM") ?? 0
    let file = status("RssFile") ?? 0
    return ProcessMemory(
      peakBytes: max(peak - file, 0), source: "process, program files excluded", limitBytes: nil)
  }

  /// Memory a new process may use: the machine's available memory or the group's limit.
  public static func availableBytes() -> Int {
    let machine = field("/proc/meminfo", "MemAvailable") ?? (1 << 30)
    guard let limit = ControlGroup.current()?.limitBytes else { return machine }
    return min(machine, limit)
  }

  private static func status(_ key: String) -> Int? { field("/proc/self/status", key) }

  /// A `Key:   123 kB` line in bytes.
  static func field(_ path: String, _ key: String) -> Int? {
    guard let text = readSmallFile(path) else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
      let parts = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      if parts.count >= 2, let value = Int(parts[1]) { return value * 1024 }
    }
    return nil
  }
}

/// The memory control group this process runs in, when it has a limit (cgroup v1 or v2).
struct ControlGroup {
  var limitBytes: Int
  var peakBytes: Int?

  static func current() -> ControlGroup? {
    guard let membership = readSmallFile("/proc/self/cgroup") else { return nil }
    for line in membership.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      if parts[1].split(separator: ",").contains("memory") {
        let root = "/sys/fs/cgroup/memory" + parts[2]
        return read(root, limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes")
      }
      if parts[0] == "0", parts[1].isEmpty {
        let root = "/sys/fs/cgroup" + parts[2]
        if let group = read(root, limit: "memory.max", peak: "memory.peak") { return group }
      }
    }
    return nil
  }

  private static func read(_ root: String, limit: String, peak: String) -> ControlGroup? {
    guard let text = readSmallFile(root + "/" + limit), let bytes = Int(text.trimmed),
      // Version 1 writes a number near 2^63 for "no limit".
      bytes < 1 << 60
    else { return nil }
    return ControlGroup(
      limitBytes: bytes, peakBytes: readSmallFile(root + "/" + peak).flatMap { Int($0.trimmed) })
  }
}

/// Files of /proc and /sys have no size: they are read until they end.
func readSmallFile(_ path: String) -> String? {
  guard let file = try? File(path, .read) else { return nil }
  var buffer = [UInt8](repeating: 0, count: 1 << 16)
  let count = buffer.withUnsafeMutableBytes { pread(file.descriptor, $0.baseAddress, $0.count, 0) }
  return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
}

extension String {
  fileprivate var trimmed: Substring {
    var text = self[...]
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return text
  }
}
