/// How often predictions come true, by layer and rank: which of them are worth a read.
///
/// The likeliest predicted expert is asked for nearly always, the last of the top k less than every
/// second time.  Only predictions whose record was *not* cached are judged, because only those
/// would be read, and they come true less often than the popular ones that are.  Ranks that are not
/// read are judged all the same, so a rank that becomes good is noticed.
public struct PredictionRecord: Sendable, Equatable {
  /// A read that is used by less than this share costs more bytes than its time is worth.
  public static let usefulShare = 0.8
  /// Weight of the newest judgement once there are many.
  private static let step = 1.0 / 64
  /// Judgements that trust at the start is worth.
  private static let priorJudgements = 4.0

  public let rankCount: Int
  private var shares: [Double]
  private var judgements: [Double]

  /// - Parameter rankCount: experts a prediction names, likeliest first.
  public init(layerCount: Int, rankCount: Int) {
    self.rankCount = max(1, rankCount)
    shares = Array(repeating: 1, count: max(1, layerCount) * self.rankCount)
    judgements = Array(repeating: Self.priorJudgements, count: shares.count)
  }

  /// Share of this rank's uncached predictions that were asked for.
  public func share(layer: Int, rank: Int) -> Double { shares[index(layer, rank)] }

  public func isUseful(layer: Int, rank: Int) -> Bool {
    shares[index(layer, rank)] >= Self.usefulShare
  }

  /// The layer began: whether it asked for what was predicted at `rank`.
  public mutating func judge(layer: Int, rank: Int, wasUsed: Bool) {
    let index = index(layer, rank)
    judgements[index] += 1
    let step = max(1 / judgements[index], Self.step)
    shares[index] += step * ((wasUsed ? 1 : 0) - shares[index])
  }

  private func index(_ layer: Int, _ rank: Int) -> Int {
    layer * rankCount + min(rank, rankCount - 1)
  }
}
