import ArgumentParser
import Support

/// Cache sizes on the command line: `46`, `25%`, `10%-75%`, and lists of them.
struct SlotList {
  private enum Entry {
    case slots(Int)
    case percent(Double)
  }

  /// Of a range like 10%-75%.
  private static let stepPercent = 5.0
  private static let problem =
    "--slots takes numbers of records, shares like 25%, and ranges like 10%-75%"
  private var entries: [Entry] = []

  init(parsing text: String) throws {
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = word.split(separator: "-", omittingEmptySubsequences: false)
      if ends.count == 2 {
        guard var percent = Self.percent(ends[0]), let last = Self.percent(ends[1]),
          percent <= last
        else { throw ValidationError(Self.problem) }
        while percent <= last + 1e-9 {
          entries.append(.percent(percent))
          percent += Self.stepPercent
        }
      } else if let percent = Self.percent(word) {
        entries.append(.percent(percent))
      } else if let slots = Int(word), slots > 0 {
        entries.append(.slots(slots))
      } else {
        throw ValidationError(Self.problem)
      }
    }
  }

  private static func percent(_ word: Substring) -> Double? {
    guard word.last == "%", let value = Double(word.dropLast()), value > 0, value <= 100 else {
      return nil
    }
    return value
  }

  /// Numbers of slots, ascending, each once.
  ///
  /// - Throws: `Failure(.usage)` for fewer slots than one layer of a token needs.
  func sizes(records: Int, least: Int) throws(Failure) -> [Int] {
    var sizes: Set<Int> = []
    for entry in entries {
      let slots =
        switch entry {
        case .slots(let slots): min(slots, records)
        case .percent(let percent): Int((Double(records) * percent / 100).rounded())
        }
      guard slots >= least else {
        throw Failure(
          .usage, "--slots", "\(slots) of \(records); a layer of one token needs \(least)",
          remedy: "Use \(least) or more")
      }
      sizes.insert(slots)
    }
    return sizes.sorted()
  }
}
