import Support

/// A tree of small files written down in one: `PATH TEXT` a line, `#` in front of remarks.
public struct RecordedTree: Sendable {
  private let directory: TemporaryDirectory
  public var root: String { directory.path }

  /// Lays out `Fixtures/sysfs/NAME.txt`, leaving out lines that hold a word of `without`.
  public init(_ name: String, without: [String] = []) throws(Failure) {
    directory = try TemporaryDirectory("sysfs", inMemory: true)
    let text = try FileSystem.readText(Fixtures.path("sysfs/\(name).txt"))
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      let parts = line.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, !without.contains(where: { line.contains($0) }) else { continue }
      var folder = root
      for name in parts[0].split(separator: "/").dropLast() {
        folder += "/" + name
        try FileSystem.createDirectory(folder)
      }
      try directory.write(parts[1] + "\n", to: String(parts[0]))
    }
  }
}
