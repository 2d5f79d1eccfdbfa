/// Which processors compute threads and service threads run on, decided once at start.
///
/// A pure function of its inputs; `system` fills them in from the machine.
public struct ThreadPlacement: Sendable, Equatable {
  /// What the user asked for.
  public enum Choice: Sendable, Equatable {
    /// Performance cores on hybrid processors, the scheduler's choice elsewhere.
    case automatic
    /// Never pinned.
    case off
    /// Compute threads on these.
    case processors(CPUSet)

    /// Reads `auto`, `off` or a list like `0-3,8`.
    ///
    /// - Throws: `Failure(.usage)` naming the flag.
    public init(parsing text: String, flag: String = "--cpus") throws(Failure) {
      switch text.lowercased() {
      case "auto": self = .automatic
      case "off": self = .off
      default:
        guard let set = CPUSet(list: text), !set.isEmpty else {
          throw Failure(
            .usage, flag, "\"\(text)\" is not a list of processors",
            remedy: "Use auto, off, or numbers and ranges like 0-3,8")
        }
        self = .processors(set)
      }
    }
  }

  /// Where compute threads run; nil is anywhere.
  public var compute: CPUSet?
  /// Where threads that wait for disks and signals run; nil is anywhere.  Given whenever `compute`
  /// is, because a thread inherits the processors of the one that starts it.
  public var service: CPUSet?
  /// Threads to compute with when nobody says how many.
  public var defaultThreadCount: Int
  /// In a few words, for people.
  public var summary: String

  /// - Parameters:
  ///   - threadCount: compute threads asked for; nil takes the default.
  ///   - allowed: what the process's affinity and cpuset leave; nil when that is not known.
  ///   - quota: processors' worth of time its control groups grant; nil without a limit.
  /// - Throws: `Failure(.usage)` for processors that are not there or not allowed, and for more
  ///   threads than listed processors.
  public init(
    _ choice: Choice, threadCount: Int? = nil, topology: ProcessorTopology, allowed: CPUSet?,
    quota: Double?
  ) throws(Failure) {
    let online = CPUSet(topology.cpus.map(\.number))
    var usable = allowed.map { $0.intersection(online) } ?? online
    // A tree that contradicts the scheduler is the one that is wrong.
    if usable.isEmpty { usable = allowed ?? [0] }
    let fast = topology.set(.performance, among: usable)
    // A process confined to efficiency cores computes there.
    let cores = topology.onePerCore(of: fast.isEmpty ? usable : fast)
    let granted = quota.map { max(1, Int($0.rounded(.up))) } ?? Int.max
    defaultThreadCount = min(cores.count, granted)
    switch choice {
    case .off:
      summary = "not pinned (--cpus off)"
    case .processors(let list):
      let missing = list.subtracting(usable)
      guard missing.isEmpty else {
        throw Failure(
          .usage, "--cpus", "this process may not use processor \(missing)",
          remedy: "It may use \(usable)")
      }
      defaultThreadCount = min(list.count, granted)
      guard (threadCount ?? 1) <= list.count else {
        throw Failure(
          .usage, "--cpus", "\(threadCount ?? 1) threads on \(list.count) processors (\(list))",
          remedy: "Name as many processors as --threads, or use fewer threads")
      }
      let rest = usable.subtracting(list)
      compute = list
      service = Self.slow(topology, among: rest) ?? (rest.isEmpty ? usable : rest)
      summary = "compute on \(list) (--cpus)"
    case .automatic:
      guard topology.isHybrid, !fast.isEmpty, let slow = Self.slow(topology, among: usable) else {
        summary = "not pinned (\(topology.isHybrid ? "one kind of core allowed" : "cores alike"))"
        break
      }
      let threads = threadCount ?? defaultThreadCount
      guard threads <= fast.count else {
        summary = "not pinned (\(threads) threads, \(fast.count) on performance cores)"
        break
      }
      compute = threads <= cores.count ? cores : fast
      service = slow
      summary = "compute on performance cores"
    }
    if let compute, let service {
      summary += choice == .automatic ? " (\(compute))" : ""
      summary += ", service threads on \(service)"
    }
  }

  /// Efficiency cores, or low-power ones where there are no others.
  private static func slow(_ topology: ProcessorTopology, among usable: CPUSet) -> CPUSet? {
    [.efficiency, .lowPower].lazy.map { topology.set($0, among: usable) }.first { !$0.isEmpty }
  }

  /// Decides for this machine and process as they are now.
  public static func system(_ choice: Choice, threadCount: Int? = nil) throws(Failure)
    -> ThreadPlacement
  {
    try ThreadPlacement(
      choice, threadCount: threadCount, topology: .current, allowed: CPUSet.allowed(),
      quota: ProcessorQuota.current())
  }
}
