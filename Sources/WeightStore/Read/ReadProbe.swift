import CLinux
import CUring
import Glibc
import Support
import Synchronization

/// Reads blocks of existing files in random order with a fixed number in flight: what the disk
/// gives a reader that never lets it idle.
///
/// Memory in use is `depth × blockBytes`, in huge pages and registered as the streamer's slots are:
/// a read into scattered small pages is cut up on its way and can take twice as long.  The order is seeded, every block comes once before any
/// comes twice, and with O_DIRECT nothing of it stays in the page cache.
public struct ReadProbe: Sendable {
  public struct Result: Sendable {
    public var bytes = 0
    public var seconds = 0.0
    public var isDirect: Bool
    /// Why the reads were buffered.
    public var directRefusal: String?
    /// "io_uring" or "pread threads".
    public var backend: String
    /// Bytes that could be read: whole blocks of all files.
    public var coveredBytes: Int
    public var blockBytes: Int
  }

  public var blockBytes: Int
  public var depth: Int
  public var seconds: Double
  public var backend: ReadBackendKind

  /// - Parameters:
  ///   - blockBytes: rounded down to 4 KiB, and down to the largest file's size.
  ///   - depth: reads in flight, 1 to 1024.
  public init(
    blockBytes: Int = 512 << 10, depth: Int = 64, seconds: Double = 1,
    backend: ReadBackendKind = .auto
  ) {
    self.blockBytes = blockBytes
    self.depth = min(max(depth, 1), 1024)
    self.seconds = seconds
    self.backend = backend
  }

  /// - Throws: `Failure` for a file that cannot be opened or read, or when all are below 4 KiB.
  public func run(_ paths: [String]) throws(Failure) -> Result {
    let files = try ProbeFiles(paths, wantedBlockBytes: blockBytes)
    var result = Result(
      isDirect: files.isDirect, directRefusal: files.refusal, backend: "io_uring",
      coveredBytes: files.blocks.count * files.blockBytes, blockBytes: files.blockBytes)
    let size = depth * files.blockBytes
    let hugePage = 2 << 20
    let isHuge = size >= hugePage
    let mapped = size + (isHuge ? hugePage : 0)
    guard
      let mapping = mmap(
        nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      mapping != MAP_FAILED
    else { throw Failure.system("disk probe", "cannot get \(size) bytes of memory", errno) }
    defer { munmap(mapping, mapped) }
    var buffer = mapping
    if isHuge {
      buffer = mapping.alignedUp(toMultipleOf: hugePage)
      // Only whole huge pages, so that no byte beyond `size` is touched.
      madvise(buffer, size / hugePage * hugePage, MADV_HUGEPAGE)
    }
    // The first touch of the buffer is not the disk's time.
    memset(buffer, 0, size)
    let start = Clock.nanoseconds()
    let end = start + UInt64(max(seconds, 0) * 1e9)
    if backend != .pread {
      let (code, bytes) = try readThroughRing(files, into: buffer, until: end)
      if code == 0 {
        result.bytes = bytes
        result.seconds = Clock.seconds(since: start)
        return result
      }
      guard backend == .auto else {
        throw Failure.system("io_uring", "the system refuses it", code)
      }
    }
    result.backend = "pread threads"
    result.bytes = try readThroughThreads(files, into: buffer, until: end)
    result.seconds = Clock.seconds(since: start)
    return result
  }

  /// Returns the errno of a refused ring, or 0 and what was read.
  private func readThroughRing(
    _ files: ProbeFiles, into buffer: UnsafeMutableRawPointer, until end: UInt64
  ) throws(Failure) -> (code: Int32, bytes: Int) {
    var ring = io_uring()
    let code = io_uring_queue_init(UInt32(depth), &ring, 0)
    guard code == 0 else { return (-code, 0) }
    defer { io_uring_queue_exit(&ring) }
    var whole = iovec(iov_base: buffer, iov_len: depth * files.blockBytes)
    // Refused where memory may not be pinned; the streamer goes on without it, too.
    let isRegistered = io_uring_register_buffers(&ring, &whole, 1) == 0
    var next = 0
    var inFlight = 0
    var bytes = 0
    var failure: Failure?
    var blockOfBuffer = [Int](repeating: 0, count: depth)
    func queue(_ slot: Int) {
      guard let entry = io_uring_get_sqe(&ring) else { return }
      let block = next % files.blocks.count
      next += 1
      blockOfBuffer[slot] = block
      let (destination, bytes) = (buffer + slot * files.blockBytes, UInt32(files.blockBytes))
      let offset = UInt64(files.blocks[block].offset)
      if isRegistered {
        io_uring_prep_read_fixed(entry, files.descriptor(block), destination, bytes, offset, 0)
      } else {
        io_uring_prep_read(entry, files.descriptor(block), destination, bytes, offset)
      }
      io_uring_sqe_set_data64(entry, UInt64(slot))
      inFlight += 1
    }
    for slot in 0..<depth { queue(slot) }
    // Also after the time is up or an error: the kernel writes into the buffer until all landed.
    while inFlight > 0 {
      let code = io_uring_submit_and_wait(&ring, 1)
      guard code >= 0 || code == -EINTR || code == -EAGAIN || code == -EBUSY else {
        throw Failure.system(files.paths[0], "cannot submit reads", -code)
      }
      var entry: UnsafeMutablePointer<io_uring_cqe>?
      while io_uring_peek_cqe(&ring, &entry) == 0, let completion = entry {
        let (result, slot) = (completion.pointee.res, Int(completion.pointee.user_data))
        io_uring_cqe_seen(&ring, completion)
        inFlight -= 1
        let block = blockOfBuffer[slot]
        if result > 0 {
          bytes += Int(result)
          files.finished(block)
        } else if result != -EINTR, result != -EAGAIN {
          failure = failure ?? files.failure(block, -result)
        }
        if failure == nil, Clock.nanoseconds() < end { queue(slot) }
      }
    }
    if let failure { throw failure }
    return (0, bytes)
  }

  private func readThroughThreads(
    _ files: ProbeFiles, into buffer: UnsafeMutableRawPointer, until end: UInt64
  ) throws(Failure) -> Int {
    let next = Atomic<Int>(0)
    let total = Atomic<Int>(0)
    let failed = Mutex<Failure?>(nil)
    let (depth, blockBytes) = (min(depth, Self.threadLimit), files.blockBytes)
    try WorkerPool(threadCount: depth).run { thread in
      repeat {
        let block = next.wrappingAdd(1, ordering: .relaxed).oldValue % files.blocks.count
        let got = pread(
          files.descriptor(block), buffer + thread * blockBytes, blockBytes,
          off_t(files.blocks[block].offset))
        let code = errno
        if got > 0 {
          total.wrappingAdd(got, ordering: .relaxed)
          files.finished(block)
        } else if got == 0 || code != EINTR {
          failed.withLock { $0 = $0 ?? files.failure(block, got == 0 ? 0 : code) }
        }
      } while Clock.nanoseconds() < end && failed.withLock { $0 == nil }
    }
    if let failure = failed.withLock({ $0 }) { throw failure }
    return total.load(ordering: .relaxed)
  }

  private static let threadLimit = 64
}

/// The files of a probe, open, and their blocks in the order in which they are read.
private final class ProbeFiles: Sendable {
  struct Block: Sendable {
    var file: Int32
    var offset: Int
  }

  let paths: [String]
  let descriptors: [Int32]
  let isDirect: Bool
  let refusal: String?
  let blockBytes: Int
  let blocks: [Block]

  init(_ paths: [String], wantedBlockBytes: Int) throws(Failure) {
    let unit = RecordLayout.alignment
    var sizes: [Int] = []
    for path in paths { sizes.append(try File(path, .read).size()) }
    let largest = (sizes.max() ?? 0) / unit * unit
    let blockBytes = min(max(wantedBlockBytes / unit * unit, unit), largest)
    guard blockBytes > 0 else {
      throw Failure(
        .usage, paths.first ?? "disk probe", "too small to measure a disk with: below \(unit) bytes"
      )
    }
    var blocks: [Block] = []
    for (file, size) in sizes.enumerated() {
      for index in 0..<size / blockBytes {
        blocks.append(Block(file: Int32(file), offset: index * blockBytes))
      }
    }
    // Seeded, so that two runs ask the disk for the same.
    var state: UInt64 = 0x9E37_79B9_7F4A_7C15
    for at in stride(from: blocks.count - 1, to: 0, by: -1) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      blocks.swapAt(at, Int((state >> 33) % UInt64(at + 1)))
    }
    var refusal: String?
    var descriptors = try Self.open(paths, flags: O_RDONLY | fm_o_direct(), refusal: &refusal)
    if refusal != nil {
      var none: String?
      descriptors = try Self.open(paths, flags: O_RDONLY, refusal: &none)
      for descriptor in descriptors { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }
    }
    self.paths = paths
    self.descriptors = descriptors
    self.refusal = refusal
    self.blockBytes = blockBytes
    self.blocks = blocks
    isDirect = refusal == nil
  }

  deinit { for descriptor in descriptors { close(descriptor) } }

  /// Opens all or none; a file system without O_DIRECT is told by `refusal`.
  private static func open(_ paths: [String], flags: Int32, refusal: inout String?)
    throws(Failure) -> [Int32]
  {
    var descriptors: [Int32] = []
    var failure: Failure?
    let page = UnsafeMutableRawPointer.allocate(
      byteCount: RecordLayout.alignment, alignment: RecordLayout.alignment)
    defer { page.deallocate() }
    for path in paths {
      let descriptor = fm_open(path, flags, 0)
      var code = descriptor < 0 ? errno : 0
      if descriptor >= 0 {
        descriptors.append(descriptor)
        // Some file systems take the flag and refuse the read.
        if pread(descriptor, page, RecordLayout.alignment, 0) < 0 { code = errno }
      }
      if code == EINVAL || code == EOPNOTSUPP, flags != O_RDONLY {
        refusal = String(cString: strerror(code))
      } else if code != 0, code != EINTR {
        failure = Failure.system(path, "cannot read it", code)
      }
      if refusal != nil || failure != nil { break }
    }
    if refusal != nil || failure != nil {
      for descriptor in descriptors { close(descriptor) }
      descriptors = []
    }
    if let failure { throw failure }
    return descriptors
  }

  func descriptor(_ block: Int) -> Int32 { descriptors[Int(blocks[block].file)] }

  /// Buffered pages would make the next read of the block a memory copy.
  func finished(_ block: Int) {
    guard !isDirect else { return }
    _ = posix_fadvise(
      descriptor(block), off_t(blocks[block].offset), off_t(blockBytes), POSIX_FADV_DONTNEED)
  }

  func failure(_ block: Int, _ code: Int32) -> Failure {
    let path = paths[Int(blocks[block].file)]
    let place = "offset \(blocks[block].offset)"
    if code == 0 { return Failure(.corrupt, path, at: place, "the file ends too early") }
    var failure = Failure.system(path, "cannot read \(blockBytes) bytes", code)
    failure.place = place
    return failure
  }
}
