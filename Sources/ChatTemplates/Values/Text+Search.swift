extension Text {
  /// Longer needles are worth a table that keeps every search linear.
  private static let shortNeedle = 16

  /// The first place of `needle` in `range`; an empty needle is found at once.
  func find(_ needle: Text, in range: Range<Int>) -> Int? {
    let length = needle.count
    guard length > 0 else { return range.lowerBound }
    guard range.count >= length else { return nil }
    guard length <= Self.shortNeedle else {
      return Needle(needle.scalars).find(count: range.count) { scalars[range.lowerBound + $0] }
        .map { range.lowerBound + $0 }
    }
    let first = needle.scalars[0]
    return scalars.withUnsafeBufferPointer { text in
      needle.scalars.withUnsafeBufferPointer { pattern in
        var at = range.lowerBound
        let last = range.upperBound - length
        while at <= last {
          if text[at] == first {
            var matched = 1
            while matched < length, text[at + matched] == pattern[matched] { matched += 1 }
            if matched == length { return at }
          }
          at += 1
        }
        return nil
      }
    }
  }

  func find(_ needle: Text, from start: Int = 0) -> Int? {
    start <= count ? find(needle, in: start..<count) : nil
  }

  /// The last place of `needle` in `range`.
  func findLast(_ needle: Text, in range: Range<Int>) -> Int? {
    let length = needle.count
    guard range.count >= length else { return nil }
    guard length <= Self.shortNeedle else {
      // The same search with both turned round.
      return Needle(needle.scalars.reversed()).find(count: range.count) {
        scalars[range.upperBound - 1 - $0]
      }.map { range.upperBound - $0 - length }
    }
    var at = range.upperBound - length
    while at >= range.lowerBound {
      if scalars[at..<at + length].elementsEqual(needle.scalars) { return at }
      at -= 1
    }
    return nil
  }

  func contains(_ needle: Text) -> Bool { find(needle) != nil }

  /// How often `needle` occurs without overlap.
  func occurrences(of needle: Text, in range: Range<Int>) -> Int {
    guard !needle.isEmpty else { return range.count + 1 }
    var found = 0
    var at = range.lowerBound
    while at < range.upperBound, let next = find(needle, in: at..<range.upperBound) {
      found += 1
      at = next + needle.count
    }
    return found
  }

  enum Side {
    case left, right, both
    var trimsLeft: Bool { self != .right }
    var trimsRight: Bool { self != .left }
  }

  /// `strip` and its kin: drops space, or any of `characters`.
  func stripped(_ side: Side = .both, of characters: Text? = nil) -> Text {
    let set = characters.map { Set($0.scalars) }
    func goes(_ scalar: Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
    var start = 0
    var end = count
    if side.trimsLeft { while start < end, goes(scalars[start]) { start += 1 } }
    if side.trimsRight { while end > start, goes(scalars[end - 1]) { end -= 1 } }
    return start == 0 && end == count ? self : Text(Array(scalars[start..<end]), isSafe: isSafe)
  }

  /// `str.split()` without a separator: words between runs of space.
  func words(limit: Int = -1) -> [Text] {
    var parts: [Text] = []
    var at = 0
    while true {
      while at < count, scalars[at].isPythonSpace { at += 1 }
      guard at < count else { return parts }
      if limit >= 0, parts.count >= limit {
        return parts + [Text(scalars[at...])]
      }
      let start = at
      while at < count, !scalars[at].isPythonSpace { at += 1 }
      parts.append(Text(scalars[start..<at]))
    }
  }

  /// `str.rsplit()` without a separator.
  func wordsFromEnd(limit: Int) -> [Text] {
    guard limit >= 0 else { return words() }
    var parts: [Text] = []
    var end = count
    while true {
      while end > 0, scalars[end - 1].isPythonSpace { end -= 1 }
      guard end > 0 else { break }
      if parts.count >= limit {
        parts.append(Text(scalars[..<end]))
        break
      }
      var start = end
      while start > 0, !scalars[start - 1].isPythonSpace { start -= 1 }
      parts.append(Text(scalars[start..<end]))
      end = start
    }
    return parts.reversed()
  }

  func split(by separator: Text, limit: Int = -1) -> [Text] {
    var parts: [Text] = []
    var start = 0
    while limit < 0 || parts.count < limit, let at = find(separator, from: start) {
      parts.append(Text(scalars[start..<at]))
      start = at + separator.count
    }
    return parts + [Text(scalars[start...])]
  }

  func splitFromEnd(by separator: Text, limit: Int) -> [Text] {
    guard limit >= 0 else { return split(by: separator) }
    var parts: [Text] = []
    var end = count
    while parts.count < limit, let at = findLast(separator, in: 0..<end) {
      parts.append(Text(scalars[(at + separator.count)..<end]))
      end = at
    }
    return (parts + [Text(scalars[..<end])]).reversed()
  }

  /// `str.splitlines`.
  func lines(keepingEnds: Bool = false) -> [Text] {
    var lines: [Text] = []
    var start = 0
    var at = 0
    while at < count {
      guard scalars[at].isLineEnd else {
        at += 1
        continue
      }
      let end = at
      at += scalars[at] == "\r" && at + 1 < count && scalars[at + 1] == "\n" ? 2 : 1
      lines.append(Text(scalars[start..<(keepingEnds ? at : end)]))
      start = at
    }
    if start < count { lines.append(Text(scalars[start...])) }
    return lines
  }
}

/// A long text that is looked for, with how far each of its prefixes repeats itself
/// (Knuth, Morris and Pratt).
private struct Needle {
  private let scalars: [Scalar]
  private let borders: [Int]

  init(_ scalars: [Scalar]) {
    self.scalars = scalars
    var borders = [Int](repeating: 0, count: scalars.count)
    var length = 0
    for at in scalars.indices.dropFirst() {
      while length > 0, scalars[at] != scalars[length] { length = borders[length - 1] }
      if scalars[at] == scalars[length] { length += 1 }
      borders[at] = length
    }
    self.borders = borders
  }

  func find(count: Int, _ scalar: (Int) -> Scalar) -> Int? {
    var matched = 0
    for at in 0..<count {
      let next = scalar(at)
      while matched > 0, scalars[matched] != next { matched = borders[matched - 1] }
      if scalars[matched] == next { matched += 1 }
      if matched == scalars.count { return at + 1 - matched }
    }
    return nil
  }
}
