import Support

/// One entry of `added_tokens`.
struct AddedToken: Sendable {
  let id: Int32
  let content: [UInt8]
  let isSpecial: Bool
  /// Matched in normalized text instead of the text as given.
  let isNormalized: Bool
  let isSingleWord: Bool
  let stripsLeft: Bool
  let stripsRight: Bool

  init(_ configuration: Configuration) throws(Failure) {
    id = Int32(
      try configuration.required("id").integer(in: 0...Vocabulary.maximumID - 1))
    content = Array(try configuration.string("content").utf8)
    isSpecial = try configuration.bool("special", default: false)
    isNormalized = try configuration.bool("normalized", default: !isSpecial)
    isSingleWord = try configuration.bool("single_word", default: false)
    stripsLeft = try configuration.bool("lstrip", default: false)
    stripsRight = try configuration.bool("rstrip", default: false)
  }
}

/// Finds added tokens in text: leftmost first, the longest at each place.
struct AddedTokenMatcher: Sendable {
  private struct Node: Sendable {
    var byte: UInt8
    var sibling: Int32 = -1
    var child: Int32 = -1
    var token: Int32 = -1
  }

  enum Piece {
    case text(Range<Int>)
    case token(Int32)
  }

  private var nodes: [Node] = []
  private var roots = [Int32](repeating: -1, count: 256)
  private var tokens: [AddedToken] = []

  var isEmpty: Bool { tokens.isEmpty }

  /// - Parameter spelling: what to look for, the content or its normalized form.
  mutating func add(_ token: AddedToken, spelling: [UInt8]) {
    guard let first = spelling.first else { return }
    if roots[Int(first)] < 0 {
      roots[Int(first)] = Int32(nodes.count)
      nodes.append(Node(byte: first))
    }
    var at = Int(roots[Int(first)])
    for byte in spelling.dropFirst() {
      if let child = child(of: at, byte) {
        at = child
      } else {
        nodes.append(Node(byte: byte, sibling: nodes[at].child))
        nodes[at].child = Int32(nodes.count - 1)
        at = nodes.count - 1
      }
    }
    // Of two tokens with one spelling the first holds.
    guard nodes[at].token < 0 else { return }
    nodes[at].token = Int32(tokens.count)
    tokens.append(token)
  }

  private func child(of node: Int, _ byte: UInt8) -> Int? {
    var at = nodes[node].child
    while at >= 0 {
      if nodes[Int(at)].byte == byte { return Int(at) }
      at = nodes[Int(at)].sibling
    }
    return nil
  }

  private func longest(_ text: UnsafeBufferPointer<UInt8>, at start: Int) -> (token: Int, end: Int)?
  {
    var node = Int(roots[Int(text[start])])
    guard node >= 0 else { return nil }
    var best: (token: Int, end: Int)?
    var at = start + 1
    while true {
      if nodes[node].token >= 0 { best = (Int(nodes[node].token), at) }
      guard at < text.count, let child = child(of: node, text[at]) else { return best }
      node = child
      at += 1
    }
  }

  /// Cuts the text at the added tokens.
  ///
  /// - Parameters:
  ///   - parseSpecial: special tokens count; otherwise they are plain text.
  ///   - plainOffsets: ascending places; special tokens around them are plain text too.
  func split(
    _ text: UnsafeBufferPointer<UInt8>, parseSpecial: Bool, plainOffsets: [Int] = []
  ) -> [Piece] {
    guard !isEmpty else { return text.isEmpty ? [] : [.text(0..<text.count)] }
    var pieces: [Piece] = []
    var done = 0
    var at = 0
    var plain = plainOffsets[...]
    while at < text.count {
      guard let match = longest(text, at: at) else {
        at += 1
        continue
      }
      let token = tokens[match.token]
      var start = at
      var end = match.end
      at = end
      if token.isSpecial, !parseSpecial { continue }
      while let first = plain.first, first <= start { plain.removeFirst() }
      if token.isSpecial, let first = plain.first, first < end { continue }
      if token.isSingleWord,
        start > 0 && WordBoundary.endsWithWord(text, start)
          || end < text.count && WordBoundary.startsWithWord(text, end)
      {
        continue
      }
      if token.stripsLeft { start = max(WordBoundary.spaceStart(text, before: start), done) }
      if token.stripsRight { end = WordBoundary.spaceEnd(text, after: end) }
      start = max(start, done)
      if done < start { pieces.append(.text(done..<start)) }
      pieces.append(.token(token.id))
      done = max(end, done)
    }
    if done < text.count { pieces.append(.text(done..<text.count)) }
    return pieces
  }
}

extension AddedTokenMatcher {
  /// Where special tokens are written.
  func specialRanges(in text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var at = 0
    while at < text.count {
      guard let match = longest(text, at: at) else {
        at += 1
        continue
      }
      if tokens[match.token].isSpecial { ranges.append(at..<match.end) }
      at = match.end
    }
    return ranges
  }

  func startsWithToken(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
    !text.isEmpty && longest(text, at: 0) != nil
  }
}

/// Words and spaces around an added token, as Rust's `\w` and `\s` see them.
enum WordBoundary {
  private static func scalar(_ text: UnsafeBufferPointer<UInt8>, at: Int) -> Unicode.Scalar {
    var reader = ScalarReader(text, at: at)
    return reader.next().flatMap(Unicode.Scalar.init) ?? "\u{FFFD}"
  }

  /// Where the character that ends at `end` starts.
  private static func start(_ text: UnsafeBufferPointer<UInt8>, before end: Int) -> Int {
    var at = end - 1
    while at > 0, text[at] & 0xC0 == 0x80 { at -= 1 }
    return at
  }

  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    let properties = scalar.properties
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation:
      return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }

  static func endsWithWord(_ text: UnsafeBufferPointer<UInt8>, _ end: Int) -> Bool {
    isWord(scalar(text, at: start(text, before: end)))
  }

  static func startsWithWord(_ text: UnsafeBufferPointer<UInt8>, _ start: Int) -> Bool {
    isWord(scalar(text, at: start))
  }

  static func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before end: Int) -> Int {
    var at = end
    while at > 0 {
      let previous = start(text, before: at)
      guard scalar(text, at: previous).properties.isWhitespace else { break }
      at = previous
    }
    return at
  }

  static func spaceEnd(_ text: UnsafeBufferPointer<UInt8>, after start: Int) -> Int {
    var reader = ScalarReader(text, at: start)
    var at = start
    while let code = reader.next(), let scalar = Unicode.Scalar(code),
      scalar.properties.isWhitespace
    {
      at = reader.offset
    }
    return at
  }
}
