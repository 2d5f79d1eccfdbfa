import Glibc

/// Reads the small files of a sysfs tree and remembers what made no sense.
struct SysfsReader {
  /// What `/sys/devices` is, or a recorded copy of it.
  let root: String
  private(set) var problems: [String] = []

  init(root: String) { self.root = root }

  /// The file's text without the line's end; nil when there is none.
  func text(_ path: String) -> String? {
    guard let file = try? File(root + "/" + path, .read) else { return nil }
    // These files have no size: they are read until they end.
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = buffer.withUnsafeMutableBytes {
      pread(file.descriptor, $0.baseAddress, $0.count, 0)
    }
    guard count >= 0 else { return nil }
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    return text.last?.isNewline == true ? String(text.dropLast()) : text
  }

  /// A list of processors; nil, and a problem, when the file holds something else.
  mutating func set(_ path: String) -> CPUSet? {
    guard let text = text(path) else { return nil }
    guard let set = CPUSet(list: text) else {
      note("\(path) holds no list of processors")
      return nil
    }
    return set
  }

  /// A number from 0 up; nil, and a problem, when the file holds something else.
  mutating func number(_ path: String) -> Int? {
    guard let text = text(path) else { return nil }
    guard let value = Int(text), value >= 0 else {
      note("\(path) holds no number")
      return nil
    }
    return value
  }

  mutating func note(_ problem: String) { problems.append(problem) }
}
