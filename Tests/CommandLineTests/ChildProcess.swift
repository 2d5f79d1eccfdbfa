import Glibc
import Support
import Synchronization
import TestSupport
import Testing

/// The built `flashmoe`, run as users run it.
struct ChildProcess {
  struct Result {
    /// The exit code; 128 + signal when a signal ended it.
    var code: Int32
    var output: String
    var messages: String

    /// stdout as the one JSON document it has to be.
    func json() throws -> JSONValue { try JSONValue.parse(Array(output.utf8), subject: "stdout") }
  }

  private let pid: pid_t
  private var input: Int32
  private var output: Int32
  private var messages: Int32
  private var outputBytes: [UInt8] = []
  private var messageBytes: [UInt8] = []

  /// Ends a child that hangs.
  private static let timeoutNanoseconds: UInt64 = 120_000_000_000

  static let binary: String = {
    if let path = getenv("FLASHMOE_BINARY") { return String(cString: path) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = buffer.withUnsafeMutableBytes { bytes in
      bytes.withMemoryRebound(to: CChar.self) { text in
        text.baseAddress.map { readlink("/proc/self/exe", $0, text.count) } ?? 0
      }
    }
    let runner = String(decoding: buffer[..<max(count, 0)], as: UTF8.self)
    let candidates = [
      FileSystem.parent(of: runner), Fixtures.packageRoot + "/.build/release",
      Fixtures.packageRoot + "/.build/debug",
    ].map { $0 + "/flashmoe" }
    return candidates.first { FileSystem.exists($0) } ?? candidates[1]
  }()

  /// One start at a time: a child of another test must not inherit a pipe's end before it is
  /// marked, or nobody would see the end of the file.
  private static let starting = Mutex<Void>(())

  /// - Parameter program: what to start, if not `flashmoe` itself.
  init(_ arguments: [String], environment: [String] = [], program: String = binary) throws {
    self = try Self.starting.withLock { _ in
      try ChildProcess(starting: program, arguments, environment: environment)
    }
  }

  private init(starting program: String, _ arguments: [String], environment: [String]) throws {
    let inputPipe = try Self.pipe()
    let outputPipe = try Self.pipe()
    let messagePipe = try Self.pipe()
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, inputPipe.read, 0)
    posix_spawn_file_actions_adddup2(&actions, outputPipe.write, 1)
    posix_spawn_file_actions_adddup2(&actions, messagePipe.write, 2)
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
    words.append(nil)
    var variables: [UnsafeMutablePointer<CChar>?] =
      ([
        "PATH=/usr/bin:/bin", "TERM=dumb", "COLUMNS=80",
      ] + environment).map { strdup($0) }
    variables.append(nil)
    defer { for word in words + variables { free(word) } }
    var child: pid_t = 0
    let code = posix_spawn(&child, program, &actions, nil, words, variables)
    for descriptor in [inputPipe.read, outputPipe.write, messagePipe.write] {
      Glibc.close(descriptor)
    }
    guard code == 0 else {
      throw Failure.system(program, "cannot start (is it built?)", code)
    }
    pid = child
    input = inputPipe.write
    output = outputPipe.read
    messages = messagePipe.read
    // A child that does not read its input must not end the tests.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Both ends close by themselves in children (fcntl is variadic, which Swift does not import).
  private static func pipe() throws -> (read: Int32, write: Int32) {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw Failure.system("pipe", "cannot make", errno) }
    for end in ends { _ = ioctl(end, UInt(FIOCLEX)) }
    return (ends[0], ends[1])
  }

  mutating func write(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        let put = Glibc.write(input, bytes.baseAddress.map { $0 + done }, bytes.count - done)
        guard put > 0 else { return }
        done += put
      }
    }
  }

  mutating func closeInput() { Self.close(&input) }

  func send(_ number: Int32) { kill(pid, number) }

  /// Stops reading: the child's next write to stdout finds nobody.
  mutating func closeOutput() { Self.close(&output) }

  /// Once only: the number may belong to another test by the second time.
  private static func close(_ descriptor: inout Int32) {
    if descriptor >= 0 { Glibc.close(descriptor) }
    descriptor = -1
  }

  /// Reads until `done` says so or both streams end.
  private mutating func read(until done: (ChildProcess) -> Bool) {
    let start = Clock.nanoseconds()
    var open: [Int32] = [output, messages]
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while !open.isEmpty, !done(self) {
      if Clock.nanoseconds() - start > Self.timeoutNanoseconds {
        Issue.record("flashmoe did not end in time")
        send(SIGKILL)
        return
      }
      var polls = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard poll(&polls, nfds_t(polls.count), 200) > 0 else { continue }
      for entry in polls where entry.revents != 0 {
        let got = Glibc.read(entry.fd, &buffer, buffer.count)
        if got <= 0 {
          open.removeAll { $0 == entry.fd }
        } else if entry.fd == output {
          outputBytes += buffer[..<got]
        } else {
          messageBytes += buffer[..<got]
        }
      }
    }
  }

  /// Waits until the child has written this many bytes of text to stdout.
  mutating func waitForOutput(bytes: Int) {
    read { $0.outputBytes.count >= bytes }
  }

  mutating func waitForMessages(containing text: String) {
    read { String(decoding: $0.messageBytes, as: UTF8.self).contains(text) }
  }

  mutating func finish() -> Result {
    closeInput()
    read { _ in false }
    return wait()
  }

  /// Waits for the end without reading what is left.
  mutating func wait() -> Result {
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    closeInput()
    Self.close(&output)
    Self.close(&messages)
    let signal = status & 0x7F
    return Result(
      code: signal == 0 ? (status >> 8) & 0xFF : 128 + signal,
      output: String(decoding: outputBytes, as: UTF8.self),
      messages: String(decoding: messageBytes, as: UTF8.self))
  }
}

/// Runs `flashmoe` to its end.
func flashmoe(_ arguments: [String], input: String = "", environment: [String] = []) throws
  -> ChildProcess.Result
{
  var child = try ChildProcess(arguments, environment: environment)
  if !input.isEmpty { child.write(input) }
  return child.finish()
}

func flashmoe(_ arguments: String...) throws -> ChildProcess.Result { try flashmoe(arguments) }
