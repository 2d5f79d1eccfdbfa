import Support
import TestSupport
import Testing

@Suite struct ProcessorTopologyTests {
  struct Machine: Sendable, CustomTestStringConvertible {
    var name: String
    var online: String
    var performance: String
    var efficiency = ""
    var lowPower = ""
    /// One processor a performance core.
    var cores: String
    var evidence: String?
    var testDescription: String { name }
  }

  static let machines = [
    Machine(
      name: "core-ultra-155h", online: "0-21", performance: "0-11", efficiency: "12-19",
      lowPower: "20-21", cores: "0,2,4,6,8,10", evidence: "cpu_core/cpus and cpu_atom/cpus"),
    Machine(
      name: "alder-lake-12700", online: "0-19", performance: "0-15", efficiency: "16-19",
      cores: "0,2,4,6,8,10,12,14", evidence: "cpu_core/cpus and cpu_atom/cpus"),
    Machine(
      name: "core-ultra-285h", online: "0-15", performance: "0-5", efficiency: "6-13",
      lowPower: "14-15", cores: "0-5", evidence: "cpu_core/cpus and cpu_atom/cpus"),
    Machine(name: "ryzen-7700x", online: "0-15", performance: "0-15", cores: "0-7"),
    Machine(name: "ryzen-7950x-no-cpufreq", online: "0-31", performance: "0-31", cores: "0-15"),
    Machine(
      name: "ryzen-ai-370", online: "0-23", performance: "0-3,12-15", efficiency: "4-11,16-23",
      cores: "0-3", evidence: "cpufreq/cpuinfo_max_freq"),
    Machine(
      name: "ryzen-ai-370-no-cpufreq", online: "0-23", performance: "0-3,12-15",
      efficiency: "4-11,16-23", cores: "0-3", evidence: "acpi_cppc/highest_perf"),
    Machine(
      name: "rk3588", online: "0-7", performance: "4-7", efficiency: "0-3", cores: "4-7",
      evidence: "cpu_capacity"),
    Machine(
      name: "arm-three-clusters", online: "0-7", performance: "3-7", efficiency: "0-2",
      cores: "3-7", evidence: "cpu_capacity"),
    Machine(name: "virtual-machine", online: "0-3", performance: "0-3", cores: "0,2"),
    Machine(name: "two-sockets", online: "0-7", performance: "0-7", cores: "0,2,4,6"),
    Machine(name: "siblings-offline", online: "0,2,4,6", performance: "0,2,4,6", cores: "0,2,4,6"),
  ]

  @Test(arguments: machines) func recordedMachinesAreUnderstood(_ machine: Machine) throws {
    let tree = try RecordedTree(machine.name)
    let topology = ProcessorTopology(root: tree.root)
    let online = try #require(CPUSet(list: machine.online))
    #expect(topology.problems.isEmpty)
    #expect(topology.evidence == machine.evidence)
    #expect(CPUSet(topology.cpus.map(\.number)) == online)
    #expect(topology.set(.performance, among: online).description == machine.performance)
    #expect(topology.set(.efficiency, among: online).description == machine.efficiency)
    #expect(topology.set(.lowPower, among: online).description == machine.lowPower)
    let fast = topology.set(.performance, among: online)
    #expect(topology.onePerCore(of: fast).description == machine.cores)
    // An affinity that leaves a core only its second thread still leaves the core.
    let second = try #require(CPUSet(list: "1,3"))
    #expect(topology.onePerCore(of: second) == second)
  }

  /// Nonsense is named and leaves processors as cores of their own.
  @Test func brokenTreesAreFlat() throws {
    let tree = try RecordedTree("broken")
    let topology = ProcessorTopology(root: tree.root)
    #expect(topology.cpus.map(\.number) == [0, 1, 2, 3])
    #expect(topology.cpus.allSatisfy { $0.siblings == [$0.number] && $0.kind == .performance })
    #expect(!topology.isHybrid)
    for problem in [
      "cpu0 disagree", "cpu2/topology/core_cpus_list holds no list", "leaves its own processor out",
      "cpu1/cpu_capacity holds no number", "cpu2/cpu_capacity", "cpu3/cpu_capacity",
      "name the same processors",
    ] {
      #expect(topology.problems.contains { $0.contains(problem) }, "\(problem)")
    }
    for root in ["/nowhere", try RecordedTree("broken-online").root] {
      let nothing = ProcessorTopology(root: root)
      #expect(nothing.cpus.isEmpty && !nothing.isHybrid)
      #expect(nothing.problems.contains { $0.contains("names no processor") })
    }
  }

  /// Values of some processors only say nothing about the others.
  @Test func halfATreeIsNotBelieved() throws {
    let capacities = try RecordedTree("rk3588", without: ["cpu0/cpu_capacity", "cpufreq"])
    #expect(!ProcessorTopology(root: capacities.root).isHybrid)
    // With frequencies they decide instead.
    let frequencies = try RecordedTree("rk3588", without: ["cpu0/cpu_capacity"])
    #expect(ProcessorTopology(root: frequencies.root).evidence == "cpufreq/cpuinfo_max_freq")
    let unnamed = try RecordedTree("alder-lake-12700", without: ["cpu_atom"])
    #expect(ProcessorTopology(root: unnamed.root).evidence == "cpufreq/cpuinfo_max_freq")
    let bare = try RecordedTree("alder-lake-12700", without: ["cpu_atom", "cpufreq"])
    #expect(!ProcessorTopology(root: bare.root).isHybrid)
  }

  @Test func quotasAreTheLeastAboveTheProcess() throws {
    let second = try RecordedTree("cgroup-v2")
    for (group, quota) in [
      ("/", nil), ("/box", 3.5), ("/box/job", 3.5), ("/box/small", 1.5), ("/broken", nil),
      ("/gone/away", nil),
    ] as [(String, Double?)] {
      #expect(ProcessorQuota.read(membership: "0::\(group)\n", root: second.root) == quota)
    }
    let first = try RecordedTree("cgroup-v1")
    let membership = "4:memory:/m\n3:cpu,cpuacct:/box\n0::/\n"
    #expect(ProcessorQuota.read(membership: membership, root: first.root) == 2.5)
    #expect(ProcessorQuota.read(membership: "3:cpu:/\n", root: first.root) == nil)
    #expect(ProcessorQuota.read(membership: "nonsense", root: first.root) == nil)
  }

  @Test func thisMachineIsUnderstood() throws {
    let topology = ProcessorTopology.current
    let allowed = try #require(CPUSet.allowed())
    #expect(!allowed.isEmpty)
    for cpu in topology.cpus { #expect(cpu.siblings.contains(cpu.number)) }
    let placement = try ThreadPlacement.system(.automatic)
    #expect((1...allowed.count).contains(placement.defaultThreadCount))
  }
}
