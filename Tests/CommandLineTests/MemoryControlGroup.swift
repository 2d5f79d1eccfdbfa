import Glibc
import Support
import TestSupport

/// A memory control group (version 1 or 2) of its own, removed when it goes out of scope.
final class MemoryControlGroup {
  let path: String
  private let peakFile: String

  /// nil when this system does not let this process make one; `reason` says why.
  static func make(limitBytes: Int) -> (group: MemoryControlGroup?, reason: String) {
    let roots = [
      ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
      ("/sys/fs/cgroup", "memory.max", "memory.peak"),
    ]
    guard let root = roots.first(where: { FileSystem.isDirectory($0.0) }) else {
      return (nil, "there is no /sys/fs/cgroup")
    }
    let path = "\(root.0)/flashmoe-test.\(getpid()).\(limitBytes)"
    guard mkdir(path, 0o755) == 0 else {
      return (nil, "cannot make \(path): \(String(cString: strerror(errno)))")
    }
    let group = MemoryControlGroup(path: path, peakFile: root.2)
    guard put("\(limitBytes)", into: path + "/" + root.1), group.peakBytes != nil else {
      return (nil, "\(path) takes no memory limit or tells no peak")
    }
    // Version 2 alone has this file, and not every system has swap accounting.
    _ = put("0", into: path + "/memory.swap.max")
    return (group, "")
  }

  private init(path: String, peakFile: String) {
    self.path = path
    self.peakFile = peakFile
  }

  deinit { rmdir(path) }

  var peakBytes: Int? { Self.text(path + "/" + peakFile).flatMap { Int($0) } }

  /// Processes the kernel ended because the group was full.
  var killCount: Int {
    for file in ["memory.oom_control", "memory.events"] {
      for line in (Self.text(path + "/" + file) ?? "").split(separator: "\n")
      where line.hasPrefix("oom_kill ") {
        return Int(line.dropFirst("oom_kill ".count)) ?? 0
      }
    }
    return 0
  }

  /// A shell that enters the group and becomes the program.
  func command(_ arguments: [String]) -> [String] {
    ["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"", path, ChildProcess.binary] + arguments
  }

  private static func put(_ text: String, into path: String) -> Bool {
    let descriptor = Glibc.open(path, O_WRONLY)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    return write(descriptor, bytes, bytes.count) == bytes.count
  }

  /// Files of control groups have no size: one read gets them whole.
  private static func text(_ path: String) -> String? {
    let descriptor = Glibc.open(path, O_RDONLY)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return nil }
    var end = count
    while end > 0, buffer[end - 1] == UInt8(ascii: "\n") { end -= 1 }
    return String(decoding: buffer[..<end], as: UTF8.self)
  }
}
