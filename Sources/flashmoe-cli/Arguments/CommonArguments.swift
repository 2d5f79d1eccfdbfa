import ArgumentParser
import Support

/// What every command takes.
struct CommonArguments: ParsableArguments {
  @Flag(help: "Print one JSON document on stdout and nothing else there.")
  var json = false

  @Flag(name: .long, help: "Say more on stderr: the plan, notes, where time went.")
  var verbose = false
}

/// A size on the command line: `6GB`, `6GiB`, `512MB`, `20000000`.
enum ByteSizeArgument {
  static func parse(_ text: String) throws -> Int {
    guard let bytes = ByteCount.parse(text), bytes > 0 else {
      throw ValidationError(
        "sizes are written like 6GB, 6GiB, 512MB or 20000000 (bytes), and are above 0")
    }
    return bytes
  }
}

/// Checks of plain numbers, with errors that name the option.
enum NumberArgument {
  static func check(_ value: Int?, _ option: String, _ range: ClosedRange<Int>) throws {
    guard let value, !range.contains(value) else { return }
    throw ValidationError(
      range.upperBound == Int.max
        ? "\(option) must be \(range.lowerBound) or more, not \(value)"
        : "\(option) must be from \(range.lowerBound) to \(range.upperBound), not \(value)")
  }
}
