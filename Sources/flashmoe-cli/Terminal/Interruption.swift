import Glibc
import Support
import Synchronization

/// Ctrl-C as something a command can answer: the first press asks it to stop, the second ends the
/// program at once.
///
/// The signal handler only writes to a pipe; a small thread reads it and calls the action, so an
/// action may do what a signal handler may not.
enum Interruption {
  private static let action = Mutex<(@Sendable () -> Void)?>(nil)
  private static let installed = Mutex<Bool>(false)
  private static let thread = Result { () throws(Failure) in
    try SerialThread(name: "flashmoe-signal")
  }

  /// Calls `action` on the next Ctrl-C instead of ending the program.
  static func handle(_ newAction: @escaping @Sendable () -> Void) {
    action.withLock { $0 = newAction }
    interruptCount = 0
    installed.withLock { isInstalled in
      guard !isInstalled else { return }
      isInstalled = install()
    }
  }

  /// Whether Ctrl-C was pressed since the last `handle`.
  static var happened: Bool { interruptCount > 0 }

  private static func install() -> Bool {
    let thread: SerialThread
    do throws(Failure) { thread = try Self.thread.get() } catch {
      // Without the thread Ctrl-C still ends the program, as it does everywhere.
      Diagnostics.warn("\(error)")
      return false
    }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return false }
    interruptPipe = ends[1]
    let reader = ends[0]
    thread.enqueue {
      var byte: UInt8 = 0
      while true {
        let got = read(reader, &byte, 1)
        if got == 1 {
          action.withLock { $0 }?()
        } else if got == 0 || errno != EINTR {
          return
        }
      }
    }
    var request = sigaction()
    request.__sigaction_handler.sa_handler = interruptHandler
    // Reads and writes in progress go on; the action decides what stops.
    request.sa_flags = SA_RESTART
    sigaction(SIGINT, &request, nil)
    return true
  }
}

// Plain global integers: the handler may touch nothing that locks or allocates.
nonisolated(unsafe) private var interruptPipe: Int32 = -1
nonisolated(unsafe) private var interruptCount: Int32 = 0

private let interruptHandler: @convention(c) (Int32) -> Void = { number in
  let saved = errno
  interruptCount += 1
  if interruptCount > 1 {
    signal(number, SIG_DFL)
    raise(number)
  }
  var byte: UInt8 = 1
  _ = write(interruptPipe, &byte, 1)
  errno = saved
}
