extension Filters {
  /// `wordwrap(width=79, break_long_words=True, wrapstring="\n", break_on_hyphens=True)`.
  static func wordwrap(_ value: Value, _ arguments: Arguments, _ rendering: Rendering)
    throws(Problem) -> Value
  {
    let bound = try arguments.bind(
      "wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"])
    let width = try bound.int(0, default: 79)
    guard width > 0 else { throw .value("invalid width \(width) (must be > 0)") }
    let joint = try bound.optionalText(2) ?? "\n"
    let wrap = WordWrap(
      width: width, breaksLongWords: bound.flag(1, default: true),
      breaksOnHyphens: bound.flag(3, default: true))
    let text = try rendering.text(value)
    var result: [Scalar] = []
    for (at, paragraph) in text.lines().enumerated() {
      if at > 0 { result += joint.scalars }
      for (row, line) in wrap.lines(paragraph).enumerated() {
        try rendering.charge(characters: line.count + joint.count)
        if row > 0 { result += joint.scalars }
        result += line
      }
    }
    return .string(Text(result))
  }
}

/// Fills lines with words as Python's `textwrap` does.
private struct WordWrap {
  let width: Int
  let breaksLongWords: Bool
  let breaksOnHyphens: Bool

  func lines(_ text: Text) -> [[Scalar]] {
    var chunks = Array(chunks(text.scalars).reversed())
    var lines: [[Scalar]] = []
    while !chunks.isEmpty {
      var line: [ArraySlice<Scalar>] = []
      var length = 0
      // Space at the start of a line falls away, but for the first one.
      if !lines.isEmpty, isBlank(chunks[chunks.count - 1]) { chunks.removeLast() }
      while let chunk = chunks.last, length + chunk.count <= width {
        line.append(chunk)
        length += chunk.count
        chunks.removeLast()
      }
      if let chunk = chunks.last, chunk.count > width {
        chunks.removeLast()
        let rest = breakLong(chunk, room: width - length, isAlone: line.isEmpty, into: &line)
        if !rest.isEmpty { chunks.append(rest) }
      }
      if let last = line.last, isBlank(last) { line.removeLast() }
      if !line.isEmpty { lines.append(Array(line.joined())) }
    }
    return lines
  }

  private func isBlank(_ chunk: ArraySlice<Scalar>) -> Bool { chunk.allSatisfy(\.isPythonSpace) }

  /// Puts what fits of a word that is longer than a line into it; returns the rest.
  private func breakLong(
    _ chunk: ArraySlice<Scalar>, room: Int, isAlone: Bool, into line: inout [ArraySlice<Scalar>]
  ) -> ArraySlice<Scalar> {
    guard breaksLongWords else {
      if isAlone {
        line.append(chunk)
        return []
      }
      return chunk
    }
    guard room > 0 || isAlone else { return chunk }
    var head = chunk.prefix(max(room, 1))
    if breaksOnHyphens, chunk.count > head.count, let hyphen = head.lastIndex(of: "-"),
      hyphen > head.startIndex, head[..<hyphen].contains(where: { $0 != "-" })
    {
      head = head[...hyphen]
    }
    line.append(head)
    return chunk[head.endIndex...]
  }

  /// Words and the space between them; a hyphen between letters ends a chunk.
  private func chunks(_ text: [Scalar]) -> [ArraySlice<Scalar>] {
    var chunks: [ArraySlice<Scalar>] = []
    var start = 0
    func isLetter(_ at: Int) -> Bool {
      text.indices.contains(at) && text[at].isWord && !text[at].isASCIIDigit && text[at] != "_"
    }
    func cut(_ end: Int) {
      if end > start { chunks.append(text[start..<end]) }
      start = end
    }
    for (at, scalar) in text.enumerated() {
      if at > start, text[at - 1].isASCIISpace != scalar.isASCIISpace { cut(at) }
      if breaksOnHyphens, scalar == "-", isLetter(at - 1), isLetter(at - 2), isLetter(at + 1),
        isLetter(at + 2)
      {
        cut(at + 1)
      }
    }
    cut(text.count)
    return chunks
  }
}

extension Unicode.Scalar {
  fileprivate var isASCIISpace: Bool { value == 0x20 || (0x09...0x0D).contains(value) }
}
