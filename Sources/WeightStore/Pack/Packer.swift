import Support

/// Turns a plan into a store, in bounded memory, resumably, and to the same bytes every time.
public enum Packer {
  /// Changes when the same plan would give other bytes: unfinished packs are then not resumed.
  public static let version = 1

  /// Memory that all workers' buffers together may take.
  private static let memoryLimitBytes = 512 << 20

  /// Packs `plan` to the directory `output`, which appears only when it is complete.
  ///
  /// Work goes on in `output.partial/`; calling again with the same plan after an interruption
  /// of any kind continues there.
  ///
  /// - Parameter progress: called from working threads, one at a time, a few times a second.
  /// - Throws: `Failure`: `.usage` (the output exists), `.mismatch` (another plan's unfinished
  ///   work is there), `.noSpace` before or during the work, `.malformed` for values that are not
  ///   finite, `.io`, `.cancelled`.  What was packed until then stays for the next call.
  @discardableResult
  public static func pack(
    _ plan: PackPlan, to output: String, options: PackOptions = PackOptions(),
    progress: @escaping @Sendable (PackProgress) -> Void = { _ in }
  ) throws(Failure) -> PackResult {
    let start = Clock.nanoseconds()
    try plan.check()
    let units = PackUnits(plan, unitBytes: options.unitBytes)
    let workspace = try PackWorkspace.open(for: output, overwrites: options.overwrites)
    let journal = try workspace.journal(
      fingerprint: plan.fingerprint(), name: plan.name, unitCount: units.units.count,
      discards: options.discardsPartial)
    var finished = journal.entries
    do throws(Failure) { try checkSpace(plan, units, workspace, options) } catch {
      if finished.isEmpty { workspace.abandon() }
      throw error
    }
    try workspace.prepare(units.files)

    let sizes = units.workingBytes()
    let affordable = max(1, memoryLimitBytes / max(1, sizes.total))
    let pool = try WorkerPool(
      threadCount: min(options.threadCount, affordable, max(1, units.units.count)))
    if options.supply != nil {
      // What is not there has to be known before files come.
      finished = try FinishedUnits.sound(
        units, in: workspace.store, journal: finished, pool: pool)
    }
    let schedule = try PackSchedule(
      units, supply: options.supply, finished: Set(finished.keys))
    let run = PackRun(
      units: units, store: workspace.store, options: options, schedule: schedule,
      finished: finished, journal: journal, searchesScales: plan.searchesScales,
      dropSourceCache: plan.dropSourceCache, start: start, progress: progress)
    pool.run { _ in run.work(sizes) }
    let done: PackRun.Outcome
    do throws(Failure) { done = try run.outcome() } catch {
      throw kept(error, partial: workspace.partial)
    }

    let errors = QuantizationError.summary(units, done.errors)
    do throws(Failure) {
      try finish(plan, units, workspace, done, errors, options)
    } catch {
      throw kept(error, partial: workspace.partial)
    }
    return PackResult(
      path: workspace.output, sourceBytes: plan.sourceBytes,
      resumedSourceBytes: done.resumedSourceBytes, storeBytes: plan.storeBytes,
      seconds: Clock.seconds(since: start), errors: errors,
      classes: TensorClassError.summary(units, done.errors), warnings: plan.warnings)
  }

  /// Writes what is known only now and publishes.
  private static func finish(
    _ plan: PackPlan, _ units: PackUnits, _ workspace: borrowing PackWorkspace,
    _ done: PackRun.Outcome, _ errors: [QuantizationError], _ options: PackOptions
  ) throws(Failure) {
    let manifest = self.manifest(plan, units, done.checksums, errors)
    var known = Set(units.files.map(\.path))
    known.formUnion(plan.companions.map(\.name))
    known.insert(Manifest.fileName)
    try workspace.removeStrangers(known)
    for companion in plan.companions {
      try FileSystem.writeAtomically(companion.bytes, to: workspace.store + "/" + companion.name)
    }
    try FileSystem.writeAtomically(
      manifest.serialized(), to: workspace.store + "/" + Manifest.fileName)
    try workspace.publish(units.files, overwrites: options.overwrites)
  }

  private static func manifest(
    _ plan: PackPlan, _ units: PackUnits, _ checksums: [Checksum], _ errors: [QuantizationError]
  ) -> Manifest {
    let placement = ResidentPlacement(plan)
    var residents: [Manifest.ResidentTensor] = []
    for (at, tensor) in plan.residents.enumerated() {
      residents.append(
        Manifest.ResidentTensor(
          name: tensor.name, layout: tensor.layout, offset: placement.offsets[at],
          checksum: checksums[at]))
    }
    var layers: [Manifest.Layer] = []
    var at = residents.count
    let pool = plan.pool.map {
      Manifest.Pool(record: $0.record, checksums: Array(checksums[at..<at + $0.records.count]))
    }
    for layer in plan.layers {
      if let pool, let aliases = layer.aliases {
        layers.append(Manifest.Layer(layer: layer.number, records: aliases, of: pool))
        continue
      }
      var entry = Manifest.Layer(
        layer: layer.number, record: layer.record,
        checksums: Array(checksums[at..<at + layer.experts.count]))
      entry.cold = layer.cold.map {
        Manifest.Cold(record: $0.record, isCold: $0.isCold, hot: layer.record)
      }
      layers.append(entry)
      at += layer.experts.count
    }
    var source = plan.source
    source["quantization"] = .array(errors.map(\.json))
    return Manifest(
      name: plan.name, config: plan.config, residentBytes: placement.fileBytes,
      residents: residents, layers: layers, pool: pool,
      companions: plan.companions.map {
        Manifest.Companion(name: $0.name, bytes: $0.bytes.count, checksum: Checksum(of: $0.bytes))
      },
      source: .object(source))
  }

  private static func checkSpace(
    _ plan: PackPlan, _ units: PackUnits, _ workspace: borrowing PackWorkspace,
    _ options: PackOptions
  ) throws(Failure) {
    // The journal and the manifest take less than 200 bytes for each unit, tensor, record and expert.
    let experts = plan.layers.reduce(0) { $0 + $1.expertCount }
    let slack = (4 << 20) + 200 * (units.units.count + units.items.count + experts)
    let needed = plan.storeBytes + slack - workspace.allocatedBytes(units.files)
    let free = try options.freeBytes(workspace.partial)
    guard free >= needed else {
      throw Failure(
        .noSpace, workspace.output,
        "packing needs \(ByteCount.format(needed)) more on this file system, and "
          + "\(ByteCount.format(free)) are free",
        remedy: "Free \(ByteCount.format(needed - free)), or pack to another disk")
    }
  }

  /// The same failure, with word of what survives it.
  private static func kept(_ failure: Failure, partial: String) -> Failure {
    var told = failure
    let note = "what is packed is kept in \(partial) and used by the next attempt"
    told.remedy =
      failure.remedy.map { "\($0); \(note)" } ?? note.prefix(1).uppercased() + note.dropFirst()
    return told
  }
}
