/// Which logical processors share a core, and which cores are the fast ones, as sysfs tells it.
///
/// Reading never fails: what is missing (virtual machines show little) or makes no sense leaves
/// processors as cores of their own and of one kind, and `problems` says what made no sense.
/// docs/threads.md names the files and how kinds are told apart.
public struct ProcessorTopology: Sendable, Equatable {
  public enum Kind: Int, Sendable, Comparable {
    case lowPower, efficiency, performance

    public static func < (left: Kind, right: Kind) -> Bool { left.rawValue < right.rawValue }
  }

  public struct CPU: Sendable, Equatable {
    public var number: Int
    /// All logical processors of its core, itself included.
    public var siblings: CPUSet
    public var kind: Kind
  }

  /// Processors that are online, ascending.
  public let cpus: [CPU]
  /// How performance and efficiency cores were told apart; nil when there is one kind.
  public let evidence: String?
  public let problems: [String]

  public var isHybrid: Bool { evidence != nil }

  /// The machine this runs on, read once.
  public static let current = ProcessorTopology(root: "/sys/devices")

  /// - Parameter root: `/sys/devices` or a recorded tree of its form.
  public init(root: String) {
    var reader = SysfsReader(root: root)
    let online = reader.set("system/cpu/online") ?? []
    if online.isEmpty { reader.note("system/cpu/online names no processor") }
    let cores = Self.cores(online, &reader)
    let (kinds, evidence) = Self.kinds(online, &reader)
    cpus = online.members.map {
      CPU(number: $0, siblings: cores[$0] ?? [$0], kind: kinds[$0] ?? .performance)
    }
    self.evidence = evidence
    problems = reader.problems
  }

  /// The processors of one kind, among `allowed`.
  public func set(_ kind: Kind, among allowed: CPUSet) -> CPUSet {
    CPUSet(cpus.lazy.filter { $0.kind == kind && allowed.contains($0.number) }.map(\.number))
  }

  /// One logical processor a core, the first that is in `allowed`.
  public func onePerCore(of allowed: CPUSet) -> CPUSet {
    var taken: Set<Int> = []
    var first: [Int] = []
    for number in allowed.members {
      guard !taken.contains(number) else { continue }
      first.append(number)
      taken.formUnion(cpus.first { $0.number == number }?.siblings.members ?? [number])
    }
    return CPUSet(first)
  }

  // MARK: Cores

  private static func cores(_ online: CPUSet, _ reader: inout SysfsReader) -> [Int: CPUSet] {
    var cores: [Int: CPUSet] = [:]
    for cpu in online.members {
      let folder = "system/cpu/cpu\(cpu)/topology/"
      // `core_cpus_list` is the newer name of the same file (Linux 5.3).
      if let set = reader.set(folder + "core_cpus_list")
        ?? reader.set(folder + "thread_siblings_list")
      {
        guard set.contains(cpu) else {
          reader.note("\(folder)core_cpus_list leaves its own processor out")
          continue
        }
        cores[cpu] = set.intersection(online)
      }
    }
    if cores.isEmpty { cores = coresByNumber(online, &reader) }
    // Two processors that disagree about sharing a core share none.
    for (cpu, set) in cores where set.members.contains(where: { cores[$0] != set }) {
      reader.note("the siblings of cpu\(cpu) disagree about their core")
      cores[cpu] = [cpu]
    }
    return cores
  }

  /// Without lists: processors of one package with one core number.
  private static func coresByNumber(_ online: CPUSet, _ reader: inout SysfsReader) -> [Int: CPUSet]
  {
    struct Core: Hashable {
      var package: Int
      var core: Int
    }
    var members: [Core: [Int]] = [:]
    for cpu in online.members {
      let folder = "system/cpu/cpu\(cpu)/topology/"
      guard let core = reader.number(folder + "core_id") else { continue }
      // A package that is not known is written as -1.
      let package = reader.text(folder + "physical_package_id").flatMap { Int($0) } ?? 0
      members[Core(package: package, core: core), default: []].append(cpu)
    }
    var cores: [Int: CPUSet] = [:]
    for numbers in members.values {
      for cpu in numbers { cores[cpu] = CPUSet(numbers) }
    }
    return cores
  }
}
