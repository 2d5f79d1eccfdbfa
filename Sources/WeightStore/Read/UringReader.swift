import CUring
import Glibc
import Support

/// Reads through one io_uring: registered files, slots as fixed buffers.
///
/// The ring is made disabled and enabled by the first use, because the kernel ties it
/// (`IORING_SETUP_SINGLE_ISSUER`) to the thread that enables it.
final class UringReader {
  /// Kernel ABI (`linux/io_uring.h`); these are C macros, which Swift does not import.
  private enum Setup {
    static let startDisabled: UInt32 = 1 << 6
    static let submitAll: UInt32 = 1 << 7
    static let cooperativeTasks: UInt32 = 1 << 8
    static let singleIssuer: UInt32 = 1 << 12
    static let deferTasks: UInt32 = 1 << 13
  }

  private static let fixedFile: UInt32 = 1 << 0
  private static let enableRings: UInt32 = 12
  /// `IORING_MAX_REG_BUFFERS`, and the largest buffer the kernel registers.
  private static let bufferLimit = 16384
  private static let bufferBytesLimit = 1 << 30

  private let ring: UnsafeMutablePointer<io_uring>
  private let descriptors: [Int32]
  private let flags: UInt32
  private var isEnabled: Bool
  private var hasFixedFiles = false
  /// Slots in one registered buffer; 0 when none are registered.
  private var slotsPerBuffer = 0
  private var bufferCount = 0
  private var unsubmitted = 0
  /// What could not be registered, in words.
  private(set) var registrationRefusal: String?

  /// - Throws: the errno of io_uring_setup.
  init(
    files: LayerFiles, arena: SlotArena, depth: Int, setupError: Int32, registerError: Int32
  ) throws(SystemError) {
    descriptors = files.descriptors
    ring = .allocate(capacity: 1)
    ring.initialize(to: io_uring())
    // The best the kernel takes: 6.1 knows all, 5.19 and 5.1 less.
    let attempts: [UInt32] = [
      Setup.startDisabled | Setup.submitAll | Setup.cooperativeTasks | Setup.singleIssuer
        | Setup.deferTasks,
      Setup.submitAll | Setup.cooperativeTasks, 0,
    ]
    var code = setupError == 0 ? -EINVAL : -setupError
    var taken: UInt32 = 0
    if setupError == 0 {
      for attempt in attempts {
        var parameters = io_uring_params()
        parameters.flags = attempt
        code = io_uring_queue_init_params(UInt32(depth), ring, &parameters)
        taken = attempt
        if code != -EINVAL { break }
      }
    }
    // Not all properties are set here, so that throwing does not run deinit on a ring that is none.
    guard code == 0 else {
      ring.deallocate()
      throw SystemError(code: -code)
    }
    flags = taken
    isEnabled = taken & Setup.startDisabled == 0
    register(arena: arena, registerError: registerError)
  }

  deinit {
    io_uring_queue_exit(ring)
    ring.deallocate()
  }

  private func register(arena: SlotArena, registerError: Int32) {
    var refusals: [String] = []
    var code =
      registerError == 0
      ? io_uring_register_files(ring, descriptors, UInt32(descriptors.count)) : -registerError
    hasFixedFiles = code == 0
    if code != 0 { refusals.append("files: " + String(cString: strerror(-code))) }

    let perBuffer =
      arena.slotCount <= Self.bufferLimit ? 1 : Self.bufferBytesLimit / arena.slotBytes
    guard arena.slotBytes <= Self.bufferBytesLimit else {
      refusals.append("slots: larger than 1 GiB")
      registrationRefusal = refusals.joined(separator: ", ")
      return
    }
    var vectors: [iovec] = []
    var slot = 0
    while slot < arena.slotCount {
      let count = min(perBuffer, arena.slotCount - slot)
      vectors.append(iovec(iov_base: arena.slot(slot), iov_len: count * arena.slotBytes))
      slot += count
    }
    code =
      registerError == 0
      ? io_uring_register_buffers(ring, vectors, UInt32(vectors.count)) : -registerError
    if code == 0 {
      slotsPerBuffer = perBuffer
      bufferCount = vectors.count
    } else {
      refusals.append("slots: " + String(cString: strerror(-code)))
    }
    if !refusals.isEmpty { registrationRefusal = refusals.joined(separator: ", ") }
  }

  /// Prepares a read; `flush` or a waiting `collect` submits it.  At most `depth` may be in flight.
  ///
  /// - Returns: false when the submission queue is full: flush first.
  func queue(_ operation: ReadOperation) -> Bool {
    guard let entry = io_uring_get_sqe(ring) else { return false }
    let file = hasFixedFiles ? Int32(operation.file) : descriptors[operation.file]
    let offset = UInt64(operation.offset)
    if slotsPerBuffer > 0 {
      io_uring_prep_read_fixed(
        entry, file, operation.destination, UInt32(operation.bytes), offset,
        Int32(operation.slot / slotsPerBuffer))
    } else {
      io_uring_prep_read(
        entry, file, operation.destination, UInt32(operation.bytes), offset)
    }
    if hasFixedFiles { io_uring_sqe_set_flags(entry, Self.fixedFile) }
    io_uring_sqe_set_data64(entry, UInt64(operation.piece))
    unsubmitted += 1
    return true
  }

  /// Submits what was queued.
  ///
  /// - Returns: 0 or an errno; what a busy kernel did not take stays queued.
  func flush() -> Int32 {
    guard unsubmitted > 0 else { return 0 }
    if let code = enable() { return code }
    let code = io_uring_submit(ring)
    return account(code)
  }

  private func account(_ code: Int32) -> Int32 {
    if code >= 0 {
      unsubmitted = max(0, unsubmitted - Int(code))
      return 0
    }
    // A signal, or the kernel is short of requests for the moment: try again at the next call.
    if code == -EINTR || code == -EAGAIN || code == -EBUSY { return 0 }
    return -code
  }

  private func enable() -> Int32? {
    guard !isEnabled else { return nil }
    // liburing 2.3 forgets to export io_uring_enable_rings, which is this call.
    let code = io_uring_register(
      UInt32(bitPattern: ring.pointee.ring_fd), Self.enableRings, nil, 0)
    guard code >= 0 else { return -code }
    isEnabled = true
    return nil
  }

  /// Takes completions; with `wait`, sleeps in the kernel until there is at least one.
  ///
  /// - Returns: how many were written to `buffer`, or a negated errno.  A signal may end the wait
  ///   with none.
  func collect(into buffer: UnsafeMutableBufferPointer<ReadCompletion>, wait: Bool) -> Int {
    if let code = enable() { return -Int(code) }
    if io_uring_cq_ready(ring) == 0 {
      var code: Int32 = 0
      if wait {
        code = account(io_uring_submit_and_wait(ring, 1))
      } else if flags & Setup.deferTasks != 0 {
        // Completions are posted only when their thread enters the kernel and asks.
        let result = io_uring_get_events(ring)
        if result < 0, result != -EINTR, result != -EAGAIN, result != -EBUSY { code = -result }
      }
      if code != 0 { return -Int(code) }
    }
    var count = 0
    var entry: UnsafeMutablePointer<io_uring_cqe>?
    while count < buffer.count, io_uring_cq_ready(ring) > 0,
      io_uring_peek_cqe(ring, &entry) == 0, let completion = entry
    {
      buffer[count] = ReadCompletion(
        piece: Int(completion.pointee.user_data), result: Int(completion.pointee.res))
      io_uring_cqe_seen(ring, completion)
      count += 1
    }
    return count
  }

  var summary: String {
    var parts = ["io_uring"]
    if bufferCount > 0 { parts.append("\(bufferCount) fixed buffers") }
    if let registrationRefusal { parts.append("unregistered (\(registrationRefusal))") }
    return parts.joined(separator: ", ")
  }
}

/// An errno on its way to becoming a `Failure`.
struct SystemError: Error {
  let code: Int32
  var reason: String { String(cString: strerror(code)) }
}
