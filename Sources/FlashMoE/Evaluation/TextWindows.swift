import Support

/// How a text is cut for perplexity: windows that each start from an empty context.
///
/// Every token is scored at most once, the first of a text never.  Windows that do not overlap
/// leave the first token of each unscored too, since nothing predicts it.
public struct TextWindows: Sendable, Equatable {
  public struct Window: Sendable, Equatable {
    public var start: Int
    public var count: Int
    /// Positions in the window from here on are scored, each by the logits before it.
    public var firstScored: Int
    public var scoredCount: Int { count - firstScored }
  }

  /// Tokens of a window; the last of a text may be shorter.
  public let length: Int
  /// Tokens from one window's start to the next.
  public let stride: Int

  /// - Parameter stride: nil cuts windows that do not overlap.
  /// - Throws: `Failure(.usage)` for a window below 2 or a stride outside 1 … window.
  public init(length: Int = 512, stride: Int? = nil) throws(Failure) {
    guard length >= 2 else {
      throw Failure(.usage, "--window", "\(length); a window needs at least 2 tokens")
    }
    let stride = stride ?? length
    guard (1...length).contains(stride) else {
      throw Failure(.usage, "--stride", "\(stride); it must be from 1 to the window, \(length)")
    }
    self.length = length
    self.stride = stride
  }

  /// The windows over a text of `tokenCount` tokens, in order.
  public func windows(over tokenCount: Int) -> [Window] {
    var windows: [Window] = []
    var scoredEnd = 1
    var start = 0
    while scoredEnd < tokenCount {
      let end = min(start + length, tokenCount)
      let firstScored = max(scoredEnd - start, 1)
      if start + firstScored < end {
        windows.append(Window(start: start, count: end - start, firstScored: firstScored))
      }
      scoredEnd = end
      start += stride
    }
    return windows
  }
}
