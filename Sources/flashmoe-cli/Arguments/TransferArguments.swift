import ArgumentParser
import Hub
import Support

/// How bytes come from a hub.
struct TransferArguments: ParsableArguments {
  @Option(
    name: .customLong("connections"),
    help: ArgumentHelp("Connections at once.", valueName: "n"))
  var connectionCount = 8

  @Option(
    name: .customLong("piece"),
    help: ArgumentHelp("What one request asks for.", valueName: "size"),
    transform: ByteSizeArgument.parse)
  var pieceBytes = 16 << 20

  @Option(
    name: .customLong("retries"),
    help: ArgumentHelp(
      "Attempts in a row that may bring nothing, with growing pauses.", valueName: "n"))
  var attemptCount = 7

  // For tests against a server on this machine.
  @Option(name: .customLong("retry-pause"), help: .hidden)
  var pauseSeconds = 0.5

  @Option(name: .customLong("stall"), help: .hidden)
  var stallSeconds = 30.0

  mutating func validate() throws {
    try NumberArgument.check(connectionCount, "--connections", 1...64)
    try NumberArgument.check(attemptCount, "--retries", 1...1000)
    guard (4096...1 << 30).contains(pieceBytes) else {
      throw ValidationError("--piece must be from 4KiB to 1GiB")
    }
    guard pauseSeconds >= 0, pauseSeconds <= 3600, stallSeconds > 0, stallSeconds <= 3600 else {
      throw ValidationError("pauses are from 0 to 3600 seconds")
    }
  }

  private var options: HubOptions {
    var options = HubOptions.fromEnvironment()
    options.connectionCount = connectionCount
    options.pieceBytes = pieceBytes
    options.attemptCount = attemptCount
    options.pauseSeconds = pauseSeconds
    options.stallSeconds = stallSeconds
    return options
  }

  /// Runs `body` with a client; Ctrl-C ends it and keeps what is there.
  func withClient<Value: Sendable>(
    _ body: @escaping @Sendable (HubClient) async throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    let options = options
    let task = Task { () async -> Result<Value, Failure> in
      do throws(Failure) { return .success(try await HubClient.with(options, body)) } catch {
        return .failure(error)
      }
    }
    Interruption.handle { task.cancel() }
    return try await task.value.get()
  }

  static func text(_ state: PullProgress) -> String {
    let share = Double(state.bytes) / Double(max(state.totalBytes, 1)) * 100
    var text =
      "\(ByteCount.fixed(share, digits: 0)) %, \(ByteCount.format(state.bytes)) of "
      + "\(ByteCount.format(state.totalBytes)), \(ByteCount.format(Int(state.bytesPerSecond)))/s"
    if let left = state.secondsLeft { text += ", \(ProgressLine.duration(left)) left" }
    return text
  }
}
