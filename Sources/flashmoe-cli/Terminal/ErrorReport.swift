import ArgumentParser
import Glibc
import Support

/// How a failure is told: one sentence on stderr, a document on stdout with `--json`, an exit code.
struct ErrorReport {
  static let failureCode: Int32 = 1
  static let usageCode: Int32 = 64
  static let interruptedCode: Int32 = 130

  private let error: any Error

  init(_ error: any Error) { self.error = error }

  /// Prints it and returns the exit code.
  func print() -> Int32 {
    if let failure = error as? Failure { return report(failure) }
    if let exit = error as? ExitCode { return exit.rawValue }
    if let refusal = error as? PlanRefusal { return refusal.report() }
    let code = FlashMoECommand.exitCode(for: error).rawValue
    let message = FlashMoECommand.fullMessage(for: error)
    guard code != 0 else {
      if !message.isEmpty { Output.write(message + "\n") }
      return 0
    }
    if Self.wantsJSON {
      let problem = FlashMoECommand.message(for: error)
      Output.write(
        Self.document(Failure(.usage, "command line", problem)).serialized(pretty: true) + "\n")
    }
    let prefix = "Error: "
    Output.message(
      message.hasPrefix(prefix) ? "error: " + message.dropFirst(prefix.count) : message)
    return code
  }

  private func report(_ failure: Failure) -> Int32 {
    Self.tell(failure)
    switch failure.kind {
    case .usage: return Self.usageCode
    case .cancelled: return Self.interruptedCode
    default: return Self.failureCode
    }
  }

  /// The sentence on stderr and, with `--json`, the document on stdout.
  static func tell(_ failure: Failure, extra: JSONObject = [:]) {
    if wantsJSON {
      Output.write(document(failure, extra: extra).serialized(pretty: true) + "\n")
    }
    Output.message(Style.error("error:") + " \(failure)")
  }

  private static func document(_ failure: Failure, extra: JSONObject = [:]) -> JSONValue {
    var object: JSONObject = [
      "error": .object([
        "kind": .string(failure.kind.rawValue),
        "subject": .string(failure.subject),
        "place": .optional(failure.place),
        "problem": .string(failure.problem),
        "remedy": .optional(failure.remedy),
      ])
    ]
    for (key, value) in extra.members { object[key] = value }
    return .object(object)
  }

  /// Asked when the command line may not have been understood.
  static var wantsJSON: Bool {
    let arguments = CommandLine.arguments.dropFirst().prefix { $0 != "--" }
    return arguments.contains("--json")
  }
}
