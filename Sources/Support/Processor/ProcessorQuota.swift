/// How much processor time control groups grant this process, in processors.
public enum ProcessorQuota {
  /// - Parameters:
  ///   - membership: what `/proc/self/cgroup` says.
  ///   - root: where control groups are mounted.
  /// - Returns: the least quota of the process's group and those above it, for example 1.5; nil
  ///   without any.
  public static func read(membership: String, root: String) -> Double? {
    var least: Double?
    let reader = SysfsReader(root: root)
    for line in membership.split(separator: "\n") {
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isUnified = parts[0] == "0" && parts[1].isEmpty
      guard isUnified || parts[1].split(separator: ",").contains("cpu") else { continue }
      var folders = parts[2].split(separator: "/", omittingEmptySubsequences: true)
      // A group's limit holds for everything below it.
      while true {
        let folder = (isUnified ? "" : "cpu/") + folders.map { $0 + "/" }.joined()
        let quota =
          isUnified
          ? unified(reader.text(folder + "cpu.max"))
          : ratio(
            reader.text(folder + "cpu.cfs_quota_us"), reader.text(folder + "cpu.cfs_period_us"))
        if let quota { least = min(least ?? quota, quota) }
        if folders.isEmpty { break }
        folders.removeLast()
      }
    }
    return least
  }

  /// This process's quota.
  public static func current() -> Double? {
    SysfsReader(root: "/proc/self").text("cgroup").flatMap {
      read(membership: $0, root: "/sys/fs/cgroup")
    }
  }

  /// Version 2: `max 100000` or `150000 100000`.
  private static func unified(_ text: String?) -> Double? {
    let words = (text ?? "").split(separator: " ").map(String.init)
    return words.count == 2 ? ratio(words[0], words[1]) : nil
  }

  /// Version 1 writes -1 for no limit.
  private static func ratio(_ quota: String?, _ period: String?) -> Double? {
    guard let quota = quota.flatMap({ Int($0) }), let period = period.flatMap({ Int($0) }),
      quota > 0, period > 0
    else { return nil }
    return Double(quota) / Double(period)
  }
}
