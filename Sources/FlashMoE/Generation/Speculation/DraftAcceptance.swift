/// How much of a draft is usually accepted, by how long its match was; old drafts fade.
struct DraftAcceptance {
  /// Weights of accepted and of judged tokens at a depth.
  private struct Share {
    var accepted = 0.0
    var judged = 0.0
  }

  /// Match lengths 2, 3, 4–5, 6–9, 10 and more: the longer, the likelier it goes on.
  static func matchClass(_ length: Int) -> Int {
    switch length {
    case ...2: 0
    case 3: 1
    case ...5: 2
    case ...9: 3
    default: 4
    }
  }

  /// What is believed of depth 1 before anything was judged, and how many judgements that outweighs.
  private static let priors = [0.35, 0.5, 0.65, 0.8, 0.9]
  private static let priorWeight = 2.0
  /// A draft thirty drafts ago counts a third.
  private static let fading = 0.965

  /// [class][depth]
  private var shares = [[Share]](
    repeating: [Share](repeating: Share(), count: Speculation.draftLimit), count: priors.count)

  /// Enters a draft of which `accepted` tokens were right and `judged` were compared.
  mutating func judged(matchLength: Int, accepted: Int, judged: Int) {
    let at = Self.matchClass(matchLength)
    for depth in shares[at].indices {
      shares[at][depth].accepted *= Self.fading
      shares[at][depth].judged *= Self.fading
      if depth < accepted { shares[at][depth].accepted += 1 }
      if depth < judged { shares[at][depth].judged += 1 }
    }
  }

  /// Calls `body` with each draft length from 1 up and the tokens a step with it is expected to
  /// go on by.
  @inline(__always)
  func forEachLength(
    upTo limit: Int, matchLength: Int, _ body: (_ length: Int, _ expected: Double) -> Void
  ) {
    let at = Self.matchClass(matchLength)
    var share = Self.priors[at]
    var reached = 1.0
    var expected = 1.0
    for depth in 0..<min(limit, Speculation.draftLimit) {
      // Each depth leans on the one before.
      let seen = shares[at][depth]
      share = (seen.accepted + Self.priorWeight * share) / (seen.judged + Self.priorWeight)
      reached *= share
      expected += reached
      body(depth + 1, expected)
    }
  }
}
