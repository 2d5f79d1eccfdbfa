import Testing

@testable import WeightStore

@Suite struct PredictionRecordTests {
  @Test func trustsEveryRankUntilItFails() {
    var record = PredictionRecord(layerCount: 2, rankCount: 3)
    #expect(record.isUseful(layer: 1, rank: 2))
    for _ in 0..<8 { record.judge(layer: 1, rank: 2, wasUsed: false) }
    #expect(!record.isUseful(layer: 1, rank: 2))
    #expect(record.isUseful(layer: 1, rank: 1))
    #expect(record.isUseful(layer: 0, rank: 2))
  }

  @Test func shareFollowsWhatHappens() {
    var record = PredictionRecord(layerCount: 1, rankCount: 1)
    for turn in 0..<2000 { record.judge(layer: 0, rank: 0, wasUsed: turn % 4 == 0) }
    #expect(abs(record.share(layer: 0, rank: 0) - 0.25) < 0.05)
    for _ in 0..<400 { record.judge(layer: 0, rank: 0, wasUsed: true) }
    #expect(record.isUseful(layer: 0, rank: 0))
  }
}
