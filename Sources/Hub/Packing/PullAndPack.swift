import Checkpoints
import FlashMoE
import Support
import WeightStore

/// Turns a model on a hub into a store, one weight file at a time.
public enum PullAndPack {
  public struct Progress: Sendable {
    public var download: @Sendable (PullProgress) -> Void
    public var pack: @Sendable (PackProgress) -> Void
    /// What the plan warns of, told before weights come.
    public var warn: @Sendable (String) -> Void

    public init(
      download: @escaping @Sendable (PullProgress) -> Void = { _ in },
      pack: @escaping @Sendable (PackProgress) -> Void = { _ in },
      warn: @escaping @Sendable (String) -> Void = { _ in }
    ) {
      self.download = download
      self.pack = pack
      self.warn = warn
    }
  }

  /// Where files are while they are packed.
  public static func workPath(_ output: String) -> String { output + ".pull" }

  /// - Parameter output: the store to make; its name shows it only when it is complete.
  /// - Throws: what `Pull.download` and `Packer.pack` throw.  What is done stays for the next call.
  public static func run(
    _ resolution: Resolution, with client: HubClient, to output: String,
    packing: PackingOptions, options: PackOptions, progress: Progress = Progress()
  ) async throws(Failure) -> PackResult {
    let work = workPath(output)
    let selection = resolution.selection
    let meter = PullMeter(total: selection.totalBytes, progress.download)
    let downloader = Downloader(client, resolution.snapshot, meter: meter)
    do throws(Failure) {
      let directory = try await Downloader.blocking { () throws(Failure) in
        try checkOutput(output, options)
        try FileSystem.createDirectories(FileSystem.parent(of: output))
        return try PullDirectory(work, resolution.snapshot)
      }
      try await bringCompanions(selection, downloader, directory)
      var staged = StagedCheckpoint(selection, in: directory, downloader)
      let (plan, supply) = try await self.plan(&staged, resolution, packing)
      for warning in plan.warnings { progress.warn(warning) }
      try checkSpace(plan, staged, output)
      let result = try await pack(
        plan, staged, supply, to: output, options: options, progress: progress.pack)
      try await Downloader.blocking { () throws(Failure) in try FileSystem.remove(work) }
      return result
    } catch {
      throw Pull.kept(error, work, meter.progress, resolution)
    }
  }

  private static func checkOutput(_ output: String, _ options: PackOptions) throws(Failure) {
    guard FileSystem.exists(output), !options.overwrites else { return }
    // Killed after its store was complete: nothing is left to do with what was downloaded.
    try FileSystem.remove(workPath(output))
    throw Failure(
      .usage, output, "exists already",
      remedy: "Give another --output, or --overwrite to replace it")
  }

  private static func bringCompanions(
    _ selection: Selection, _ downloader: Downloader, _ directory: PullDirectory
  ) async throws(Failure) {
    let weights = Set(selection.weights.map(\.path))
    let small = selection.files.filter { !weights.contains($0.path) }
    let missing = try await Downloader.blocking { () throws(Failure) in
      let missing = try Pull.missing(small, in: directory)
      for file in small where !missing.contains(file) { downloader.meter.resume(file.size ?? 0) }
      return missing
    }
    try await Pull.download(missing, with: downloader, to: directory)
  }

  /// Makes the plan from headers.  A format whose plan needs weights gets those files first.
  private static func plan(
    _ staged: inout StagedCheckpoint, _ resolution: Resolution, _ packing: PackingOptions
  ) async throws(Failure) -> (PackPlan, ShardSupply) {
    var packing = packing
    if packing.name == nil, !staged.isGGUF { packing.name = resolution.reference.name }
    let drops = DropList()
    let supply = ShardSupply(order: staged.weights.map(staged.path)) { path in drops.drop(path) }
    var brought: Set<String> = []
    while true {
      let refused = Refusals()
      let checkpoint = try await staged.open { (path: String) throws(Failure) in
        do throws(Failure) { try supply.check(path) } catch {
          refused.add(path)
          throw error
        }
      }
      drops.set(staged)
      do throws(Failure) {
        var plan = try ModelPacking.plan(checkpoint: checkpoint, options: packing)
        // Sizes and times change while files come and go; commit and checksums do not.
        plan.sourceIdentity =
          ["\(resolution.snapshot.repository) \(resolution.snapshot.commit)"]
          + resolution.selection.files.map {
            "\($0.path) \($0.size ?? -1) \($0.identity?.text ?? "-")"
          }
        return (plan, supply)
      } catch {
        guard let path = refused.first, brought.insert(path).inserted,
          let file = staged.weights.first(where: { staged.path($0) == path })
        else { throw error }
        try await staged.bring(file)
        supply.arrived(path)
      }
    }
  }

  private static func pack(
    _ plan: PackPlan, _ staged: StagedCheckpoint, _ supply: ShardSupply, to output: String,
    options: PackOptions, progress: @escaping @Sendable (PackProgress) -> Void
  ) async throws(Failure) -> PackResult {
    let download = Task { () -> Failure? in
      do throws(Failure) {
        try await bring(staged, supply)
        return nil
      } catch {
        supply.fail(error)
        return error
      }
    }
    var options = options
    options.supply = supply
    let ready = options
    let packer = try SerialThread(name: "flashmoe-pack")
    let result: Result<PackResult, Failure> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        packer.enqueue {
          do throws(Failure) {
            continuation.resume(
              returning: .success(
                try Packer.pack(plan, to: output, options: ready, progress: progress)))
          } catch {
            supply.stop()
            continuation.resume(returning: .failure(error))
          }
        }
      }
    } onCancel: {
      download.cancel()
      supply.fail(Failure(.cancelled, output, "was interrupted"))
    }
    download.cancel()
    let trouble = await download.value
    switch result {
    case .success(let result): return result
    case .failure(let failure):
      // What stopped the downloads is the cause; the packer only missed its files.
      if let trouble, trouble.kind != .cancelled { throw trouble }
      throw failure
    }
  }

  /// Brings the files that the packer needs, in order and not too far ahead of it.
  private static func bring(_ staged: StagedCheckpoint, _ supply: ShardSupply)
    async throws(Failure)
  {
    let needed = try await supply.needed()
    for (at, file) in staged.weights.enumerated() where needed.contains(staged.path(file)) {
      try await supply.turn(of: at)
      try await staged.bring(file)
      supply.arrived(staged.path(file))
    }
  }

  /// The store, and the most weights that are on the disk at once.
  private static func checkSpace(
    _ plan: PackPlan, _ staged: StagedCheckpoint, _ output: String
  ) throws(Failure) {
    let partial = output + ".partial/store"
    let there =
      staged.weights.reduce(0) { $0 + (FileFacts(staged.path($1))?.allocated ?? 0) }
      + allocatedBytes(in: partial) + allocatedBytes(in: partial + "/experts")
    let sizes = staged.weights.map { (staged.path($0), $0.size ?? 0) }
    let most = StagingSpace.mostBytes(plan, files: sizes, ahead: ShardSupply.ahead)
    let needed = plan.storeBytes + most + Pull.slackBytes - there
    guard needed > 0 else { return }
    try Pull.checkSpace(needed, at: FileSystem.parent(of: output))
  }

  private static func allocatedBytes(in directory: String) -> Int {
    guard FileSystem.isDirectory(directory), let names = try? FileSystem.list(directory) else {
      return 0
    }
    return names.reduce(0) { $0 + (FileFacts(directory + "/" + $1)?.allocated ?? 0) }
  }
}
