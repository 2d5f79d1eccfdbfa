import Support

/// Turns tokens back into text (`decoder`): the fixed part. `DecodingState` is what runs.
struct TokenDecoder: Sendable {
  enum Stage: Sendable {
    /// Letters of the byte alphabet become bytes.
    case byteLevel
    case replace([UInt8], [UInt8])
    /// Runs of `<0x..>` become their bytes, or U+FFFD for each if those are not UTF-8.
    case byteFallback
    /// From here on the tokens are one text.
    case fuse
    /// Takes up to `start` times `content` off the front and up to `stop` times off the end.
    case strip(content: [UInt8], start: Int, stop: Int)
    /// The replacement character is a space, or nothing in the first token.
    case metaspace([UInt8], dropsFirst: Bool)
    /// No decoder: tokens are joined with spaces.
    case spaced
  }

  private(set) var stages: [Stage] = []

  init(_ configuration: Configuration?) throws(Failure) {
    guard let configuration else {
      stages = [.spaced]
      return
    }
    var isFused = false
    var isBytes = false
    for part in try configuration.unfolded("decoders") {
      let type = try part.required("type")
      let name = try type.string()
      guard !isBytes, !isFused || name == "Strip" || name == "Fuse" else {
        throw type.unsupported("the decoder \"\(name)\" after one that joins the tokens")
      }
      switch name {
      case "ByteLevel":
        isBytes = true
        stages.append(.byteLevel)
      case "Replace":
        guard case .text(let wanted) = try SplitPattern(try part.required("pattern")) else {
          throw part.unsupported("a decoder that replaces a regular expression")
        }
        stages.append(.replace(wanted, Array(try part.string("content").utf8)))
      case "ByteFallback": stages.append(.byteFallback)
      case "Fuse":
        isFused = true
        stages.append(.fuse)
      case "Strip":
        stages.append(
          .strip(
            content: try part.required("content").scalar(),
            start: try part["start"]?.integer(in: 0...1024) ?? 0,
            stop: try part["stop"]?.integer(in: 0...1024) ?? 0))
      case "Metaspace":
        stages.append(
          .metaspace(
            try part.required("replacement").scalar(),
            dropsFirst: try PreTokenizer.scheme(part) != .never))
      default: throw type.unsupported("the decoder \"\(name)\" is not supported")
      }
    }
  }
}
