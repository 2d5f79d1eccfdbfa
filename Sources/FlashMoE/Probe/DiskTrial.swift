import Glibc
import Support

/// What a folder's disk gives, where there is no store yet: a file is written, read and removed.
public struct DiskTrial: Sendable {
  public var reading: DiskMeasurement
  /// Bytes a second to the disk, flushed.
  public var writtenBytesPerSecond: Double
  public var trialBytes: Int

  /// A quarter of what is free at most, so that nobody else runs out.
  private static let freeShare = 4
  private static let blockBytes = 4 << 20
  public static let defaultBytes = 512 << 20

  /// - Parameters:
  ///   - folder: where models will lie.
  ///   - wantedBytes: size of the trial file; less where the disk is nearly full.
  ///   - memoryBytes: what the probe's buffers may take.
  /// - Throws: `Failure` for a folder that cannot be written, or `.noSpace` below 64 MB.
  public static func run(
    folder: String, wantedBytes: Int = defaultBytes, memoryBytes: Int, seconds: Double = 1
  ) throws(Failure) -> DiskTrial {
    let free = try FileSystem.freeBytes(at: folder)
    let bytes = min(wantedBytes, free / freeShare) / blockBytes * blockBytes
    guard bytes >= DiskProbe.smallBytes else {
      throw Failure(
        .noSpace, folder, "\(ByteCount.format(free)) are free, too little to try the disk with",
        remedy: "Free some disk space, or name another folder with --disk")
    }
    let path = folder + "/.flashmoe-trial-\(getpid())"
    let file = try File(path, .createNew)
    // Without a name nothing is left behind, whatever happens; the descriptor still opens it.
    unlink(path)
    let start = Clock.nanoseconds()
    try fill(file, bytes: bytes)
    try file.synchronize()
    let elapsed = Clock.seconds(since: start)
    file.dropCache()
    let shape = DiskProbe.shape(freeBytes: memoryBytes)
    let reading = try DiskProbe.measure(
      path: "/proc/self/fd/\(file.descriptor)", blockBytes: shape.blockBytes, depth: shape.depth,
      seconds: seconds)
    return DiskTrial(
      reading: reading, writtenBytesPerSecond: elapsed > 0 ? Double(bytes) / elapsed : 0,
      trialBytes: bytes)
  }

  /// Bytes that no disk can compress, from a generator faster than any of them.
  private static func fill(_ file: borrowing File, bytes: Int) throws(Failure) {
    var words = [UInt64](repeating: 0, count: blockBytes / 8)
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for offset in stride(from: 0, to: bytes, by: blockBytes) {
      for index in words.indices {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        words[index] = state
      }
      var failure: Failure?
      words.withUnsafeBytes { buffer in
        do throws(Failure) { try file.write(buffer, at: offset) } catch { failure = error }
      }
      if let failure { throw failure }
    }
  }
}
