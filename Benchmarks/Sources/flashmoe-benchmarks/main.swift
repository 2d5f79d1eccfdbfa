import Foundation
import Support
import WeightStore

// swift run -c release flashmoe-benchmarks: what the parts of FlashMoE reach, beside what the
// machine can give, measured in the same run.  docs/benchmarking.md explains the rows.

private func printError(_ text: String) {
  FileHandle.standardError.write(Data((text + "\n").utf8))
}

/// The demo model of this checkout, wherever the program is started.
private let demoStore = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("Models/demo.fmoe").path

private func run() throws(Failure) {
  let arguments = Array(CommandLine.arguments.dropFirst())
  if arguments.contains("--help") || arguments.contains("-h") {
    print(Options.usage)
    return
  }
  let options = try Options(arguments, demoStore: demoStore)
  let pool = try WorkerPool(threadCount: options.threadCount)
  let peaks = try Peaks.measure(pool)
  var report = Report(threadCount: options.threadCount)
  for group in options.groups {
    if !options.wantsJSON { printError("measuring \(group.rawValue)") }
    switch group {
    case .kernels: report.measurements += try KernelBenchmarks(pool: pool, peaks: peaks).run()
    case .streamer:
      report.measurements += try StreamerBenchmarks(
        store: try Store(opening: options.storePath)
      ).run()
    case .cache: report.measurements += CacheBenchmarks().run()
    case .endToEnd:
      report.measurements += try EndToEndBenchmarks(
        store: try Store(opening: options.storePath), budgetBytes: options.budgetBytes,
        threadCount: options.threadCount, peaks: peaks
      ).run()
    }
  }
  print(options.wantsJSON ? report.json.serialized(pretty: true) : report.table)
}

do throws(Failure) {
  try run()
} catch {
  printError("error: \(error)")
  exit(error.kind == .usage ? 64 : 1)
}
