import Support

/// What a split looks for: a pattern, or a plain string.
enum SplitPattern: Sendable {
  case expression(RegularExpression)
  case text([UInt8])

  /// Reads `{"Regex": "…"}` or `{"String": "…"}`.
  init(_ configuration: Configuration) throws(Failure) {
    if let expression = configuration["Regex"] {
      self = .expression(try RegularExpression(try expression.string(), at: expression))
    } else {
      let text = Array(try configuration.string("String").utf8)
      guard !text.isEmpty else { throw configuration.malformed("the string is empty") }
      self = .text(text)
    }
  }

  func forEachMatch(
    in text: UnsafeBufferPointer<UInt8>, _ workspace: RegularExpression.Workspace,
    _ body: (_ start: Int, _ end: Int) -> Void
  ) throws(Failure) {
    switch self {
    case .expression(let expression): try expression.forEachMatch(in: text, workspace, body)
    case .text(let wanted):
      var at = 0
      while at + wanted.count <= text.count {
        if text[at] == wanted[0], text[at..<at + wanted.count].elementsEqual(wanted) {
          body(at, at + wanted.count)
          at += wanted.count
        } else {
          at += 1
        }
      }
    }
  }

  /// The text with every match replaced.
  func replace(
    in text: UnsafeBufferPointer<UInt8>, with content: [UInt8],
    _ workspace: RegularExpression.Workspace
  ) throws(Failure) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var last = 0
    try forEachMatch(in: text, workspace) { start, end in
      result.append(contentsOf: text[last..<start])
      result.append(contentsOf: content)
      last = end
    }
    result.append(contentsOf: text[last...])
    return result
  }
}

/// Cuts a text into pieces at the matches of a pattern.
struct Splitter: Sendable {
  /// What becomes of a match.
  enum Behavior: String, Sendable {
    case isolated = "Isolated"
    case removed = "Removed"
    case contiguous = "Contiguous"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
  }

  let pattern: SplitPattern
  let behavior: Behavior
  let invert: Bool

  private struct Part {
    var start: Int
    var end: Int
    var isMatch: Bool
  }

  /// Appends the pieces of `text`, none of them empty, as ranges shifted by `base`.
  func split(
    _ text: UnsafeBufferPointer<UInt8>, base: Int, into ranges: inout [Range<Int>],
    _ workspace: RegularExpression.Workspace
  ) throws(Failure) {
    var last = 0
    if behavior == .isolated {
      try pattern.forEachMatch(in: text, workspace) { start, end in
        if last < start { ranges.append(base + last..<base + start) }
        if start < end { ranges.append(base + start..<base + end) }
        last = end
      }
      if last < text.count { ranges.append(base + last..<base + text.count) }
      return
    }
    var parts: [Part] = []
    try pattern.forEachMatch(in: text, workspace) { start, end in
      if last < start { parts.append(Part(start: last, end: start, isMatch: invert)) }
      parts.append(Part(start: start, end: end, isMatch: !invert))
      last = end
    }
    if last < text.count { parts.append(Part(start: last, end: text.count, isMatch: invert)) }
    for part in combine(parts) where part.start < part.end {
      ranges.append(base + part.start..<base + part.end)
    }
  }

  private func combine(_ parts: [Part]) -> [Part] {
    var result: [Part] = []
    var previousIsMatch = false
    switch behavior {
    case .isolated: return parts
    case .removed: return parts.filter { !$0.isMatch }
    case .contiguous:
      for part in parts {
        if let last = result.last, last.isMatch == part.isMatch {
          result[result.count - 1].end = part.end
        } else {
          result.append(part)
        }
      }
    case .mergedWithPrevious:
      for part in parts {
        if part.isMatch, !previousIsMatch, !result.isEmpty {
          result[result.count - 1].end = part.end
        } else {
          result.append(part)
        }
        previousIsMatch = part.isMatch
      }
    case .mergedWithNext:
      for part in parts.reversed() {
        if part.isMatch, !previousIsMatch, !result.isEmpty {
          result[result.count - 1].start = part.start
        } else {
          result.append(part)
        }
        previousIsMatch = part.isMatch
      }
      result.reverse()
    }
    return result
  }
}
