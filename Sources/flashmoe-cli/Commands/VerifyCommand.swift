import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Re-read a whole store and compare it with its checksums.",
    discussion: """
      Lists everything that is damaged, with file, layer, expert and offset, and exits with 1 if \
      anything is.

      Example: flashmoe verify model.fmoe
      """)

  @OptionGroup var model: StoreArgument

  @Option(
    name: [.customShort("t"), .customLong("threads")],
    help: ArgumentHelp("Threads that read. Default: one a core and one more.", valueName: "n"))
  var threadCount: Int?

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws { try NumberArgument.check(threadCount, "--threads", 1...1024) }

  mutating func run() throws {
    let path = try model.path()
    let progress = ProgressLine("verify")
    Interruption.handle {}
    let report: Verification.Report
    do {
      defer { progress.finish() }
      report = try Verification.verify(
        path, threadCount: threadCount ?? PackOptions.defaultThreadCount,
        isCancelled: { Interruption.happened },
        progress: { state in progress.show(Self.text(state)) })
    }
    if common.json { Output.print(Self.json(report)) } else { Self.tell(report) }
    guard report.isSound else { throw ExitCode(ErrorReport.failureCode) }
  }

  private static func text(_ state: Verification.Progress) -> String {
    let rate = state.seconds > 0 ? Double(state.bytes) / state.seconds : 0
    let share = Double(state.bytes) / Double(max(state.totalBytes, 1)) * 100
    var text =
      "\(ByteCount.fixed(share, digits: 0)) %, \(ByteCount.format(state.bytes)) of "
      + "\(ByteCount.format(state.totalBytes)), \(ByteCount.format(Int(rate)))/s"
    if rate > 0 {
      text += ", \(ProgressLine.duration(Double(state.totalBytes - state.bytes) / rate)) left"
    }
    return text
  }

  private static func tell(_ report: Verification.Report) {
    for problem in report.problems { Output.print("damaged: \(problem)") }
    for name in report.unknownFiles {
      Diagnostics.warn("\(report.path)/\(name) does not belong to the store")
    }
    if let note = report.aliasNote { Output.print("\(report.path): \(note)") }
    let checked =
      "\(report.residentTensors) tensors, \(report.records) records and \(report.companions) other "
      + "files, \(ByteCount.format(report.bytes)) in \(ByteCount.significant(report.seconds)) s"
    Output.print(
      report.isSound
        ? "\(report.path): sound (\(checked))"
        : "\(report.path): \(report.problems.count) damaged (of \(checked))")
    if !report.isSound {
      Output.message(Style.error("error:") + " \(report.path): damaged. Copy or pack it again")
    }
  }

  private static func json(_ report: Verification.Report) -> JSONObject {
    var object: JSONObject = [
      "store": .string(report.path), "sound": .bool(report.isSound),
      "problems": .array(
        report.problems.map {
          .object([
            "kind": .string($0.kind.rawValue), "subject": .string($0.subject),
            "place": .optional($0.place), "problem": .string($0.problem),
            "remedy": .optional($0.remedy),
          ])
        }),
      "tensors": .integer(report.residentTensors), "records": .integer(report.records),
      "companions": .integer(report.companions), "bytes": .integer(report.bytes),
      "seconds": .number(report.seconds),
      "unknown_files": .array(report.unknownFiles.map { .string($0) }),
    ]
    object.note(report.aliasNote)
    return object
  }
}
