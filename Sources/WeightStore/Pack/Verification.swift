import Support

/// Re-reads a whole store and compares everything with its checksums.
public enum Verification {
  public struct Progress: Sendable {
    public var bytes: Int
    public var totalBytes: Int
    public var seconds: Double
  }

  public struct Report: Sendable {
    public var path: String
    /// Everything that is wrong, in the order of the files; empty when the store is sound.
    public var problems: [Failure]
    public var residentTensors: Int
    /// Records read; those of a pool count once.
    public var records: Int
    public var companions: Int
    public var bytes: Int
    public var seconds: Double
    /// Files in the directory that the manifest does not know.
    public var unknownFiles: [String]
    /// `Manifest.aliasNote`.
    public var aliasNote: String?

    public var isSound: Bool { problems.isEmpty }
  }

  /// Checks the manifest, every resident tensor, record and companion, and that the bytes between
  /// them are zero.
  ///
  /// Reads go past the page cache where the file system allows it, so that the disk is checked
  /// and not memory, and a few megabytes are enough whatever the store's size.
  ///
  /// - Parameter progress: called from working threads, one at a time, a few times a second.
  /// - Returns: a report of every bad item with file, layer, expert and offset.
  /// - Throws: `Failure` when the path is no store, or `.cancelled`.
  public static func verify(
    _ path: String, threadCount: Int = PackOptions.defaultThreadCount,
    isCancelled: @escaping @Sendable () -> Bool = { false },
    progress: @escaping @Sendable (Progress) -> Void = { _ in }
  ) throws(Failure) -> Report {
    let start = Clock.nanoseconds()
    let manifestPath = try Store.manifestPath(of: path)
    var report = Report(
      path: path, problems: [], residentTensors: 0, records: 0, companions: 0, bytes: 0,
      seconds: 0, unknownFiles: [])
    let manifest: Manifest
    do throws(Failure) {
      manifest = try Manifest(
        parsing: try FileSystem.readBytes(manifestPath, limitBytes: 1 << 28), subject: manifestPath)
    } catch {
      // Without a manifest nothing else can be judged.
      report.problems = [error]
      report.seconds = Clock.seconds(since: start)
      return report
    }
    let items = VerificationItem.all(of: manifest)
    let scan = VerificationScan(
      path: path, items: items, isCancelled: isCancelled, start: start, progress: progress)
    let pool = try WorkerPool(threadCount: min(max(1, threadCount), 64, max(1, items.count)))
    pool.run { _ in scan.work() }
    (report.problems, report.bytes) = try scan.outcome()
    report.residentTensors = manifest.residents.count
    report.records = manifest.pool?.recordCount ?? manifest.recordCount
    report.aliasNote = manifest.aliasNote
    report.companions = manifest.companions.count
    report.unknownFiles = try unknownFiles(path, manifest)
    report.seconds = Clock.seconds(since: start)
    return report
  }

  private static func unknownFiles(_ path: String, _ manifest: Manifest) throws(Failure) -> [String]
  {
    var known = Set(manifest.recordFiles.map(\.file) + manifest.companions.map(\.name))
    known.formUnion([Manifest.fileName, Manifest.residentFileName, "experts", "profile.json"])
    var names = try FileSystem.list(path)
    if FileSystem.isDirectory(path + "/experts") {
      names += try FileSystem.list(path + "/experts").map { "experts/" + $0 }
    }
    return names.filter { !known.contains($0) }
  }
}

/// One stretch of a file with a checksum and the zeros that must follow it.
struct VerificationItem: Sendable {
  let file: String
  let fileBytes: Int
  /// What it is, for messages; nil for companions, where the file says it.
  let place: String?
  let offset: Int
  let bytes: Int
  let zeros: Int
  let checksum: Checksum?

  static func all(of manifest: Manifest) -> [VerificationItem] {
    var items: [VerificationItem] = []
    let residents = manifest.residents
    for (at, tensor) in residents.enumerated() {
      let end = tensor.offset + tensor.layout.bytes
      let next = at + 1 < residents.count ? residents[at + 1].offset : manifest.residentBytes
      items.append(
        VerificationItem(
          file: Manifest.residentFileName, fileBytes: manifest.residentBytes,
          place: "tensor \(tensor.name), offset \(tensor.offset)", offset: tensor.offset,
          bytes: tensor.layout.bytes, zeros: next - end, checksum: tensor.checksum))
    }
    // Bytes before the first tensor, or a file without tensors, must be zero too.
    let lead = residents.first?.offset ?? manifest.residentBytes
    items.append(
      VerificationItem(
        file: Manifest.residentFileName, fileBytes: manifest.residentBytes,
        place: "before the first tensor", offset: 0, bytes: 0, zeros: lead, checksum: nil))
    if let pool = manifest.pool {
      for (record, checksum) in pool.checksums.enumerated() {
        let offset = record * pool.record.stride
        items.append(
          VerificationItem(
            file: Manifest.poolFileName, fileBytes: pool.fileBytes,
            place: "record \(record) of the pool, offset \(offset)", offset: offset,
            bytes: pool.record.bytes, zeros: pool.record.stride - pool.record.bytes,
            checksum: checksum))
      }
    }
    for layer in manifest.layers where layer.aliasing == nil {
      for (expert, checksum) in layer.checksums.enumerated() {
        let offset = layer.offset(ofExpert: expert)
        let record = layer.record(ofExpert: expert)
        items.append(
          VerificationItem(
            file: layer.file, fileBytes: layer.fileBytes,
            place: "layer \(layer.layer), expert \(expert), offset \(offset)", offset: offset,
            bytes: record.bytes, zeros: record.stride - record.bytes,
            checksum: checksum))
      }
    }
    for companion in manifest.companions {
      items.append(
        VerificationItem(
          file: companion.name, fileBytes: companion.bytes, place: nil, offset: 0,
          bytes: companion.bytes, zeros: 0, checksum: companion.checksum))
    }
    return items
  }
}
