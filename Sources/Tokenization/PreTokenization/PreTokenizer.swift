import Support

/// Cuts normalized text into the words that are encoded one by one (`pre_tokenizer`).
struct PreTokenizer: Sendable {
  enum Step: Sendable {
    case split(Splitter)
    /// Puts a space in front of every word that has none.
    case prefixSpace
    case metaspace(Metaspace)
  }

  struct Metaspace: Sendable {
    enum Scheme: Sendable { case always, first, never }
    let replacement: [UInt8]
    let scheme: Scheme
    let split: Bool
    let splitter: Splitter
  }

  private(set) var steps: [Step] = []
  /// Words are spelled in the byte alphabet; true when the last step is `ByteLevel`.
  private(set) var isByteLevel = false

  static let gpt2Pattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// - Parameter configuration: nil where the file has none: the text is one word.
  init(_ configuration: Configuration?) throws(Failure) {
    guard let configuration else { return }
    for part in try configuration.unfolded("pretokenizers") {
      let type = try part.required("type")
      guard !isByteLevel else {
        throw type.unsupported("a pre-tokenizer after ByteLevel, which has to be the last")
      }
      switch try type.string() {
      case "Split":
        let behavior = try part.required("behavior")
        guard let known = Splitter.Behavior(rawValue: try behavior.string()) else {
          throw behavior.unsupported("unknown split behavior \"\(try behavior.string())\"")
        }
        steps.append(
          .split(
            Splitter(
              pattern: try SplitPattern(try part.required("pattern")), behavior: known,
              invert: try part.bool("invert", default: false))))
      case "Digits":
        let single = try part.bool("individual_digits", default: false)
        steps.append(.split(try Self.isolate(single ? #"\p{N}"# : #"\p{N}+"#, part)))
      case "ByteLevel":
        isByteLevel = true
        if try part.bool("add_prefix_space", default: true) { steps.append(.prefixSpace) }
        if try part.bool("use_regex", default: true) {
          steps.append(.split(try Self.isolate(Self.gpt2Pattern, part)))
        }
      case "Metaspace": steps.append(.metaspace(try Self.metaspace(part)))
      case let name: throw type.unsupported("the pre-tokenizer \"\(name)\" is not supported")
      }
    }
  }

  private static func isolate(_ pattern: String, _ part: Configuration) throws(Failure) -> Splitter
  {
    Splitter(
      pattern: .expression(try RegularExpression(pattern, at: part)), behavior: .isolated,
      invert: false)
  }

  private static func metaspace(_ part: Configuration) throws(Failure) -> Metaspace {
    let replacement = try part.required("replacement").scalar()
    return Metaspace(
      replacement: replacement, scheme: try scheme(part),
      split: try part.bool("split", default: true),
      splitter: Splitter(pattern: .text(replacement), behavior: .mergedWithNext, invert: false))
  }

  /// `prepend_scheme`, or `add_prefix_space` of older files.
  static func scheme(_ part: Configuration) throws(Failure) -> Metaspace.Scheme {
    guard let scheme = part["prepend_scheme"] else {
      return try part.bool("add_prefix_space", default: true) ? .always : .never
    }
    switch try scheme.string() {
    case "always": return .always
    case "first": return .first
    case "never": return .never
    case let name: throw scheme.unsupported("unknown prepend scheme \"\(name)\"")
    }
  }

  /// The words of a piece of text.
  ///
  /// - Parameters:
  ///   - text: replaced where a step changes characters.
  ///   - isStart: the piece stands at the very beginning of the input.
  func words(
    _ text: inout [UInt8], isStart: Bool, _ workspace: RegularExpression.Workspace
  ) throws(Failure) -> [Range<Int>] {
    guard !text.isEmpty else { return [] }
    var words = [0..<text.count]
    for step in steps {
      switch step {
      case .split(let splitter):
        words = try Self.split(text, words, splitter, workspace)
      case .prefixSpace:
        rewrite(&text, &words) { _, word, result in
          if word.first != UInt8(ascii: " ") { result.append(UInt8(ascii: " ")) }
          result.append(contentsOf: word)
        }
      case .metaspace(let metaspace):
        rewrite(&text, &words) { start, word, result in
          let prepends =
            metaspace.scheme == .always || metaspace.scheme == .first && isStart && start == 0
          if prepends, word.first != UInt8(ascii: " "), !word.starts(with: metaspace.replacement) {
            result.append(contentsOf: metaspace.replacement)
          }
          for byte in word {
            if byte == UInt8(ascii: " ") {
              result.append(contentsOf: metaspace.replacement)
            } else {
              result.append(byte)
            }
          }
        }
        if metaspace.split {
          words = try Self.split(text, words, metaspace.splitter, workspace)
        }
      }
    }
    return words
  }

  private static func split(
    _ text: [UInt8], _ words: [Range<Int>], _ splitter: Splitter,
    _ workspace: RegularExpression.Workspace
  ) throws(Failure) -> [Range<Int>] {
    var result: [Range<Int>] = []
    result.reserveCapacity(max(words.count, text.count / 5))
    try text.withUnsafeBufferPointer { (buffer) throws(Failure) in
      for word in words {
        try splitter.split(
          UnsafeBufferPointer(rebasing: buffer[word]), base: word.lowerBound, into: &result,
          workspace)
      }
    }
    return result
  }

  private func rewrite(
    _ text: inout [UInt8], _ words: inout [Range<Int>],
    _ body: (_ start: Int, _ word: ArraySlice<UInt8>, _ result: inout [UInt8]) -> Void
  ) {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + words.count)
    for at in words.indices {
      let start = result.count
      body(words[at].lowerBound, text[words[at]], &result)
      words[at] = start..<result.count
    }
    text = result
  }
}
