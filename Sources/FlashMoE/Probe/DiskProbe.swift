import Support
import WeightStore

/// What a disk gave a reader with many large reads in flight.
public struct DiskMeasurement: Sendable {
  public var bytesPerSecond: Double
  /// Whether the page cache was kept out of it.
  public var direct: Bool
  /// "io_uring" or "pread threads".
  public var backend: String
  /// What makes the number doubtful, in words: buffered reads, a small file.
  public var note: String?
}

/// A quick look at the disk under a store: random reads of its own files, a second or less.
public enum DiskProbe {
  /// Below this the disk's own cache may answer instead of the disk.
  public static let smallBytes = 64_000_000
  private static let fileLimit = 32
  /// What a program takes beside a probe's buffers.
  private static let processBytes = 6 << 20

  /// Blocks of 512 KiB and as many in flight as the streamer has, or what fits memory that is short.
  public static func shape(freeBytes: Int) -> (blockBytes: Int, depth: Int) {
    let (blockBytes, depth, leastDepth) = (512 << 10, 64, 16)
    if freeBytes >= leastDepth * blockBytes {
      return (blockBytes, min(depth, freeBytes / blockBytes))
    }
    return (max(RecordLayout.alignment, freeBytes / leastDepth), leastDepth)
  }

  /// Bytes that probes may take before a model is loaded: the budget, and what the control group
  /// this runs in has left.
  public static func freeBytes(budgetBytes: Int?) -> Int {
    let available = ProcessMemory.availableBytes()
    return max(min(budgetBytes ?? available, available) - processBytes, 1 << 20)
  }

  /// Reads random aligned blocks of existing files past the page cache.
  ///
  /// - Parameters:
  ///   - path: a file, or a store, whose layer files are then read.
  ///   - blockBytes: bytes of a read; less where the file is smaller.
  ///   - depth: reads in flight; memory in use is `depth × blockBytes`.
  ///   - seconds: how long to read.
  /// - Throws: `Failure` for a path that cannot be read or holds less than 4 KiB.
  public static func measure(
    path: String, blockBytes: Int = 512 << 10, depth: Int = 64, seconds: Double = 1
  ) throws(Failure) -> DiskMeasurement {
    let probe = ReadProbe(blockBytes: blockBytes, depth: depth, seconds: seconds)
    let result = try probe.run(try files(at: path))
    var notes: [String] = []
    if let refusal = result.directRefusal {
      notes.append("buffered, since the file system refuses O_DIRECT (\(refusal))")
    }
    if result.coveredBytes < smallBytes {
      notes.append(
        "only \(ByteCount.format(result.coveredBytes)) to read, which a disk's own cache may hold")
    }
    if result.blockBytes < blockBytes / RecordLayout.alignment * RecordLayout.alignment {
      notes.append("in blocks of \(ByteCount.format(result.blockBytes))")
    }
    return DiskMeasurement(
      bytesPerSecond: result.seconds > 0 ? Double(result.bytes) / result.seconds : 0,
      direct: result.isDirect, backend: result.backend,
      note: notes.isEmpty ? nil : notes.joined(separator: "; "))
  }

  /// A store's layer files, evenly chosen where there are many; resident weights where none are.
  private static func files(at path: String) throws(Failure) -> [String] {
    guard FileSystem.isDirectory(path) else { return [path] }
    let store = try Store(opening: path)
    let files = store.manifest.recordFiles
    guard !files.isEmpty else { return [store.filePath(Manifest.residentFileName)] }
    let count = min(files.count, fileLimit)
    return (0..<count).map { store.filePath(files[$0 * files.count / count].file) }
  }
}
