/// A decoder at work: takes tokens, gives bytes as soon as they are final.
struct DecodingState {
  private struct StageState {
    var isFirst = true
    /// Byte fallback: bytes whose run has not ended. Strip: what may still be stripped.
    var held: [UInt8] = []
    var stripped = 0
    var pastStart = false
  }

  private let stages: [TokenDecoder.Stage]
  private var states: [StageState]
  private var output: [UInt8] = []
  private let fusedAt: Int

  init(_ decoder: TokenDecoder) {
    stages = decoder.stages
    states = stages.map { _ in StageState() }
    fusedAt = stages.firstIndex { if case .fuse = $0 { true } else { false } } ?? stages.count
  }

  /// Feeds one token; returns the bytes that follow the earlier ones for certain.
  mutating func append(_ token: [UInt8]) -> [UInt8] {
    feed(token, 0)
    defer { output.removeAll(keepingCapacity: true) }
    return output
  }

  /// What was held back until the end.
  mutating func finish() -> [UInt8] {
    for at in stages.indices {
      if case .byteFallback = stages[at] { flushBytes(at) }
    }
    defer { output.removeAll(keepingCapacity: true) }
    return output
  }

  private mutating func feed(_ token: [UInt8], _ at: Int) {
    guard at < stages.count else {
      output.append(contentsOf: token)
      return
    }
    switch stages[at] {
    case .byteLevel:
      token.withUnsafeBufferPointer { ByteAlphabet.read($0, into: &output) }
    case .replace(let wanted, let content):
      feed(Self.replace(token, wanted, content), at + 1)
    case .byteFallback:
      if let byte = ByteFallback.byte(token) {
        states[at].held.append(byte)
      } else {
        flushBytes(at)
        feed(token, at + 1)
      }
    case .fuse: feed(token, at + 1)
    case .strip(let content, let start, let stop):
      if at > fusedAt {
        stripText(token, content, start, stop, at)
      } else {
        feed(Self.strip(token, content, start, stop), at + 1)
      }
    case .metaspace(let replacement, let dropsFirst):
      let space = states[at].isFirst && dropsFirst ? [] : [UInt8(ascii: " ")]
      states[at].isFirst = false
      feed(Self.replace(token, replacement, space), at + 1)
    case .spaced:
      if !states[at].isFirst { output.append(UInt8(ascii: " ")) }
      states[at].isFirst = false
      feed(token, at + 1)
    }
  }

  private mutating func flushBytes(_ at: Int) {
    let run = states[at].held
    guard !run.isEmpty else { return }
    states[at].held = []
    if String(validating: run, as: UTF8.self) != nil {
      feed(run, at + 1)
    } else {
      for _ in run { feed(Array("\u{FFFD}".utf8), at + 1) }
    }
  }

  private static func replace(_ token: [UInt8], _ wanted: [UInt8], _ content: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(token.count)
    var at = 0
    while at < token.count {
      if token[at] == wanted[0], token[at...].starts(with: wanted) {
        result.append(contentsOf: content)
        at += wanted.count
      } else {
        result.append(token[at])
        at += 1
      }
    }
    return result
  }

  private static func strip(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int)
    -> [UInt8]
  {
    var rest = token[...]
    for _ in 0..<start where rest.starts(with: content) { rest = rest.dropFirst(content.count) }
    for _ in 0..<stop where rest.suffix(content.count).elementsEqual(content) {
      rest = rest.dropLast(content.count)
    }
    return Array(rest)
  }

  /// Strips one text that arrives in parts: holds back at its end what the next part decides.
  private mutating func stripText(
    _ part: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int, _ at: Int
  ) {
    var rest = part[...]
    while !states[at].pastStart, !rest.isEmpty {
      if states[at].stripped < start, rest.starts(with: content) {
        states[at].stripped += 1
        rest = rest.dropFirst(content.count)
      } else {
        states[at].pastStart = true
      }
    }
    guard stop > 0 else {
      feed(Array(rest), at + 1)
      return
    }
    let text = states[at].held + rest
    var end = text.count
    var kept = 0
    while kept < stop, text[..<end].suffix(content.count).elementsEqual(content) {
      end -= content.count
      kept += 1
    }
    states[at].held = Array(text[end...])
    feed(Array(text[..<end]), at + 1)
  }
}
