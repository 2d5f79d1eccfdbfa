import Logging
import Support

/// The two ways to read behind one interface; a switch instead of an existential.
///
/// Reads are queued, submitted by `flush`, and come back in any order from `collect`.  Neither way
/// retries or interprets results: `ReadScheduler` does that for both.
enum RecordReader {
  case uring(UringReader)
  case pread(PreadReader)

  static let preadThreadCount = 8

  /// Chooses as asked for, and says once what was refused.
  ///
  /// - Throws: `Failure(.unsupported)` when a backend asked for by name is refused.
  static func make(
    _ kind: ReadBackendKind, files: LayerFiles, arena: SlotArena, depth: Int,
    processors: CPUSet?, faults: ReadFaultPlan, logger: Logger
  ) throws(Failure) -> (reader: RecordReader, summary: String) {
    let mode = files.isDirect ? "O_DIRECT" : "buffered"
    if let refusal = files.refusal {
      logger.notice(
        "direct reads refused (O_DIRECT: \(refusal)); reading buffered and dropping pages behind")
    }
    var refusal = ""
    if kind != .pread {
      do throws(SystemError) {
        let reader = try UringReader(
          files: files, arena: arena, depth: depth, setupError: faults.setupError,
          registerError: faults.registerError)
        if let refused = reader.registrationRefusal {
          logger.notice("io_uring registers nothing (\(refused)); reading unregistered")
        }
        return (.uring(reader), "\(reader.summary), \(mode)")
      } catch {
        guard kind == .auto else {
          throw Failure(
            .unsupported, "io_uring", "the system refuses it: \(error.reason)",
            remedy: "Allow io_uring (sysctl kernel.io_uring_disabled, seccomp profile) or choose"
              + " the pread backend")
        }
        logger.notice("io_uring refused (\(error.reason)); reading with pread threads")
        refusal = " (io_uring: \(error.reason))"
      }
    }
    do throws(SystemError) {
      let reader = try PreadReader(
        files: files, depth: depth, threadCount: min(depth, preadThreadCount),
        processors: processors)
      return (.pread(reader), "\(reader.summary), \(mode)\(refusal)")
    } catch {
      throw Failure(.io, "reader threads", "the system refuses to start one: \(error.reason)")
    }
  }

  func queue(_ operation: ReadOperation) -> Bool {
    switch self {
    case .uring(let reader): reader.queue(operation)
    case .pread(let reader): reader.queue(operation)
    }
  }

  /// Submits what was queued; 0 or an errno.
  func flush() -> Int32 {
    switch self {
    case .uring(let reader): reader.flush()
    case .pread: 0
    }
  }

  func collect(into buffer: UnsafeMutableBufferPointer<ReadCompletion>, wait: Bool) -> Int {
    switch self {
    case .uring(let reader): reader.collect(into: buffer, wait: wait)
    case .pread(let reader): reader.collect(into: buffer, wait: wait)
    }
  }
}
