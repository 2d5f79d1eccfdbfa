import Support

/// What a pull left.
public struct PullResult: Sendable {
  /// The directory, or the GGUF file, that `flashmoe pack` takes.
  public var path: String
  public var directory: String
  /// Bytes of all wanted files, and of those that came in this run.
  public var bytes: Int
  public var downloadedBytes: Int
  public var seconds: Double
}

/// Downloads the files of a resolved model into a directory.
public enum Pull {
  /// Journals, records and what file systems round up.
  static let slackBytes = 4 << 20

  /// - Parameter progress: called from working threads, a few times a second.
  /// - Throws: `Failure`: `.noSpace` before or during the work, `.corrupt` for bytes that stay wrong,
  ///   `.io`, `.notFound`, `.cancelled`.  What is there then stays for the next call.
  public static func download(
    _ resolution: Resolution, with client: HubClient, to output: String,
    progress: @escaping @Sendable (PullProgress) -> Void = { _ in }
  ) async throws(Failure) -> PullResult {
    let files = resolution.selection.files
    let total = resolution.selection.totalBytes
    let meter = PullMeter(total: total, progress)
    let downloader = Downloader(client, resolution.snapshot, meter: meter)
    do throws(Failure) {
      let (directory, missing) = try await Downloader.blocking { () throws(Failure) in
        let directory = try PullDirectory(output, resolution.snapshot)
        let missing = try self.missing(files, in: directory)
        for file in files where !missing.contains(file) { meter.resume(file.size ?? 0) }
        try checkSpace(missing, in: directory)
        return (directory, missing)
      }
      try await download(missing, with: downloader, to: directory)
    } catch {
      throw kept(error, output, meter.progress, resolution)
    }
    let done = meter.progress
    return PullResult(
      path: path(of: resolution.selection, in: output), directory: output, bytes: total,
      downloadedBytes: done.bytes - done.resumedBytes, seconds: done.seconds)
  }

  /// Small files side by side, then large ones one after the other with all connections each.
  static func download(
    _ files: [RepositoryFile], with downloader: Downloader, to directory: PullDirectory
  ) async throws(Failure) {
    let limit = downloader.client.options.pieceBytes
    let small = files.filter { ($0.size ?? 0) <= limit }
    let failure: Failure? = await withTaskGroup(of: Failure?.self) { group in
      var next = 0
      var running = 0
      var first: Failure?
      while next < small.count || running > 0 {
        while first == nil, next < small.count, running < downloader.client.options.connectionCount
        {
          let file = small[next]
          group.addTask { await outcome(file, downloader, directory) }
          next += 1
          running += 1
        }
        guard running > 0, let result = await group.next() else { break }
        running -= 1
        if first == nil, let result {
          first = result
          group.cancelAll()
        }
      }
      return first
    }
    if let failure { throw failure }
    for file in files where (file.size ?? 0) > limit {
      try await download(file, with: downloader, to: directory)
    }
  }

  private static func outcome(
    _ file: RepositoryFile, _ downloader: Downloader, _ directory: PullDirectory
  ) async -> Failure? {
    do throws(Failure) {
      try await download(file, with: downloader, to: directory)
      return nil
    } catch {
      return error
    }
  }

  private static func download(
    _ file: RepositoryFile, with downloader: Downloader, to directory: PullDirectory
  ) async throws(Failure) {
    let incoming = try await Downloader.blocking { () throws(Failure) in
      let path = directory.file(file.path)
      try FileSystem.createDirectories(FileSystem.parent(of: path))
      return try IncomingFile(
        .beside(path), name: file.path, size: file.size ?? 0, identity: file.identity,
        pieceBytes: downloader.client.options.pieceBytes)
    }
    downloader.meter.resume(incoming.haveBytes)
    try await downloader.complete(incoming)
    try await Downloader.blocking { () throws(Failure) in try directory.record(file) }
  }

  static func missing(_ files: [RepositoryFile], in directory: PullDirectory)
    throws(Failure) -> [RepositoryFile]
  {
    var missing: [RepositoryFile] = []
    for file in files {
      if try directory.holds(file) {
        // Killed after the file got its name and before its journal went.
        try IncomingFile.discard(directory.file(file.path))
      } else {
        missing.append(file)
      }
    }
    return missing
  }

  private static func checkSpace(_ missing: [RepositoryFile], in directory: PullDirectory)
    throws(Failure)
  {
    let needed = missing.reduce(0) { sum, file in
      let there = IncomingFile.allocatedBytes(directory.file(file.path))
      return sum + max(0, (file.size ?? 0) - there)
    }
    guard needed > 0 else { return }
    try checkSpace(needed + slackBytes, at: directory.path)
  }

  static func checkSpace(_ needed: Int, at path: String) throws(Failure) {
    let free = try FileSystem.freeBytes(at: path)
    guard free < needed else { return }
    throw Failure(
      .noSpace, path,
      "\(ByteCount.format(needed)) more are needed on this file system, and "
        + "\(ByteCount.format(free)) are free",
      remedy: "Free \(ByteCount.format(needed - free)), or give another disk with --output")
  }

  /// What a packer takes: the directory, or the first GGUF file.
  private static func path(of selection: Selection, in output: String) -> String {
    if case .gguf = selection.kind, let first = selection.weights.first {
      return output + "/" + first.path
    }
    return output
  }

  /// The same failure, with word of what survives it.
  static func kept(
    _ failure: Failure, _ directory: String, _ progress: PullProgress, _ resolution: Resolution
  ) -> Failure {
    var told = failure
    if failure.kind == .cancelled {
      told.subject = resolution.reference.repository
      told.place = nil
      told.problem = "the download was interrupted"
    }
    guard progress.bytes > 0 else { return told }
    let note =
      "\(ByteCount.format(progress.bytes)) of \(ByteCount.format(progress.totalBytes)) are kept in "
      + "\(directory); the same command goes on from there"
    told.remedy = told.remedy.map { "\($0). \(note)" } ?? note
    return told
  }
}
