/// Telling performance cores from efficiency cores.
extension ProcessorTopology {
  /// Below this share of the fastest core's capacity a core is an efficiency core.  Middle cores
  /// of three-cluster Arm processors lie above, little ones below half.
  private static let capacityShare = 0.6
  /// The same for highest frequencies: favoured cores differ by a twentieth, dense AMD cores and
  /// Intel's by a quarter or more.
  private static let frequencyShare = 0.8
  /// The same for AMD's abstract performance, whose ranking of equal cores spreads to 0.70.
  private static let performanceShare = 0.69
  /// Intel's low-power efficiency cores, against the fastest efficiency core.
  private static let lowPowerShare = 0.8

  /// - Returns: kinds of processors that are not plain performance cores' (missing ones are), and
  ///   the file that told them apart, nil when all are alike.
  static func kinds(_ online: CPUSet, _ reader: inout SysfsReader) -> (
    kinds: [Int: Kind], evidence: String?
  ) {
    if let found = intelKinds(online, &reader) { return found }
    let measures = [
      ("cpu_capacity", capacityShare), ("cpufreq/cpuinfo_max_freq", frequencyShare),
      ("acpi_cppc/highest_perf", performanceShare),
    ]
    for (file, share) in measures {
      let values = values(of: file, online, &reader)
      guard let most = values.values.max(), most > 0, values.count == online.count else { continue }
      let slow = values.filter { Double($0.value) < share * Double(most) }
      if !slow.isEmpty { return (slow.mapValues { _ in .efficiency }, file) }
      // Frequencies that were read and are alike outweigh AMD's ranking of them.
      if file.hasPrefix("cpufreq") { break }
    }
    return ([:], nil)
  }

  /// A file of each processor; a tree that has it for some only says nothing.
  private static func values(of file: String, _ online: CPUSet, _ reader: inout SysfsReader)
    -> [Int: Int]
  {
    var values: [Int: Int] = [:]
    for cpu in online.members {
      values[cpu] = reader.number("system/cpu/cpu\(cpu)/\(file)")
    }
    return values
  }

  /// Hybrid Intel processors have a performance-monitoring unit for each kind of core.
  private static func intelKinds(_ online: CPUSet, _ reader: inout SysfsReader) -> (
    kinds: [Int: Kind], evidence: String?
  )? {
    guard let core = reader.set("cpu_core/cpus")?.intersection(online),
      let atom = reader.set("cpu_atom/cpus")?.intersection(online)
    else { return nil }
    let named = reader.set("cpu_lowpower/cpus")?.intersection(online) ?? []
    guard core.intersection(atom).isEmpty, core.intersection(named).isEmpty else {
      reader.note("cpu_core/cpus and cpu_atom/cpus name the same processors")
      return nil
    }
    // A machine whose small cores are switched off is an ordinary one, and the other way round.
    guard !core.isEmpty, !atom.isEmpty || !named.isEmpty else { return nil }
    var kinds: [Int: Kind] = [:]
    for cpu in core.members { kinds[cpu] = .performance }
    for cpu in atom.members { kinds[cpu] = .efficiency }
    for cpu in named.members { kinds[cpu] = .lowPower }
    if named.isEmpty {
      let frequencies = values(of: "cpufreq/cpuinfo_max_freq", atom, &reader)
      let most = Double(frequencies.values.max() ?? 0)
      for (cpu, value) in frequencies where Double(value) < lowPowerShare * most {
        kinds[cpu] = .lowPower
      }
    }
    return (kinds, "cpu_core/cpus and cpu_atom/cpus")
  }
}
