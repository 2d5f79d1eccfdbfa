import Foundation
import Support

/// fio's bandwidth on the same files, at the same block size and depth: a judge that is not ours.
enum Fio {
  /// The faster of two orders: random blocks, and random records read block after block.
  ///
  /// - Returns: bytes per second; nil where fio is not installed.
  /// - Throws: `Failure(.io)` when fio is there and fails.
  static func measure(
    _ files: [String], blockBytes: Int, depth: Int, recordBytes: Int, seconds: Int = 2
  ) throws(Failure) -> Double? {
    guard let program = find() else { return nil }
    let run = max(1, recordBytes / blockBytes)
    var best = 0.0
    for order in [["--rw=randread"], ["--rw=randread:\(run)", "--rw_sequencer=sequential"]] {
      let names = files.map { $0.replacingOccurrences(of: ":", with: "\\:") }
      let arguments =
        [
          "--name=disk", "--filename=" + names.joined(separator: ":"), "--readonly",
          "--bs=\(blockBytes)", "--ioengine=io_uring", "--direct=1", "--iodepth=\(depth)",
          "--fixedbufs", "--registerfiles", "--file_service_type=random", "--norandommap",
          "--randrepeat=0", "--runtime=\(seconds)", "--time_based", "--output-format=json",
        ] + order
      best = max(best, try bandwidth(of: try output(program, arguments)))
    }
    return best
  }

  private static func find() -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/usr/local/bin"
    return path.split(separator: ":").map { $0 + "/fio" }.first {
      FileManager.default.isExecutableFile(atPath: $0)
    }
  }

  private static func output(_ program: String, _ arguments: [String]) throws(Failure) -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    let data: Data?
    do {
      try process.run()
      data = try pipe.fileHandleForReading.readToEnd()
    } catch { throw Failure(.io, "fio", "it cannot be run: \(error)") }
    process.waitUntilExit()
    guard process.terminationStatus == 0, let data else {
      throw Failure(
        .io, "fio", "status \(process.terminationStatus)",
        remedy: "Run fio \(arguments.joined(separator: " "))")
    }
    return String(decoding: data, as: UTF8.self)
  }

  private static func bandwidth(of output: String) throws(Failure) -> Double {
    // fio may print notes before its document.
    let document = output.drop { $0 != "{" }
    let json = try JSONValue.parse(String(document), subject: "fio's output")
    guard let rate = json["jobs"]?.array?.first?["read"]?["bw_bytes"]?.double else {
      throw Failure(.malformed, "fio's output", at: "jobs[0].read.bw_bytes", "it is missing")
    }
    return rate
  }
}
