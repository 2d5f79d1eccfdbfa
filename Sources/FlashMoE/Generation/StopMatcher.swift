/// Finds stop strings in text that arrives in pieces, and holds back what may become one.
struct StopMatcher {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []

  init(_ stops: [String]) {
    self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty }
  }

  /// Adds text; returns what is certainly wanted, and whether a stop string was completed.
  mutating func append(_ text: String) -> (text: String, stopped: Bool) {
    guard !stops.isEmpty else { return (text, false) }
    held += Array(text.utf8)
    if let cut = earliestStop() {
      let wanted = String(decoding: held[..<cut], as: UTF8.self)
      held = []
      return (wanted, true)
    }
    let safe = held.count - longestPartialStop()
    let wanted = String(decoding: held[..<safe], as: UTF8.self)
    held.removeFirst(safe)
    return (wanted, false)
  }

  /// What was held back when the text ends without a stop.
  mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  private func earliestStop() -> Int? {
    for start in held.indices {
      for stop in stops where held[start...].starts(with: stop) { return start }
    }
    return nil
  }

  /// Length of the longest suffix that is a proper prefix of a stop string.
  ///
  /// Stop strings are whole UTF-8 strings, so a held suffix always starts at a character.
  private func longestPartialStop() -> Int {
    var longest = 0
    for stop in stops {
      for length in stride(from: min(stop.count - 1, held.count), to: longest, by: -1)
      where held.suffix(length).elementsEqual(stop.prefix(length)) {
        longest = length
        break
      }
    }
    return longest
  }
}
