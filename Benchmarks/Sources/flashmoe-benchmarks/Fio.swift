import Foundation
import Support

/// Huge pages for fio's buffers: it reads at half the disk's speed into small ones, since a block of
/// small pages is more pieces than one request of a virtual disk holds.
private struct HugePages {
  private static let setting = "/proc/sys/vm/nr_hugepages"
  private static let pageBytes = 2 << 20

  let areThere: Bool
  private let before: Int?

  /// Sets them aside where that is allowed.
  init(byteCount: Int) {
    let before = Self.read()
    let wanted = (before ?? 0) + byteCount / Self.pageBytes
    if before != nil { Self.write(wanted) }
    self.before = before
    areThere = (Self.read() ?? 0) >= wanted
  }

  func giveBack() {
    if let before { Self.write(before) }
  }

  private static func read() -> Int? {
    guard let text = try? String(contentsOfFile: setting, encoding: .utf8) else { return nil }
    return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  private static func write(_ count: Int) {
    // Refused without root: `areThere` tells.
    try? Data("\(count)\n".utf8).write(to: URL(fileURLWithPath: setting))
  }
}

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
    let pages = HugePages(byteCount: 2 * depth * blockBytes)
    defer { pages.giveBack() }
    var best = 0.0
    for order in [["--rw=randread"], ["--rw=randread:\(run)", "--rw_sequencer=sequential"]] {
      let names = files.map { $0.replacingOccurrences(of: ":", with: "\\:") }
      let arguments =
        [
          "--name=disk", "--filename=" + names.joined(separator: ":"), "--readonly",
          "--bs=\(blockBytes)", "--ioengine=io_uring", "--direct=1", "--iodepth=\(depth)",
          "--fixedbufs", "--registerfiles", "--iomem=\(pages.areThere ? "mmaphuge" : "mmap")",
          "--file_service_type=random", "--norandommap",
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
