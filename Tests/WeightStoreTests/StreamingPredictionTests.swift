import Support
import Testing

@_spi(Testing) @testable import WeightStore

/// Records read before they are asked for: predicted ones, and popular ones at start.
@Suite struct StreamingPredictionTests {
  @Test func speculationIsAdoptedOrReady() throws {
    let source = try StreamingStore(layers: 2, experts: 8)
    let rig = try StreamingRig(source, slots: 10, expertsPerToken: 2)
    rig.streamer.beginToken()
    rig.prefetch(1, [3, 5])
    try rig.request(1, [5, 3], .completion)
    let statistics = rig.streamer.statistics
    #expect(statistics.hits + statistics.hitsInFlight == 2)
    #expect(statistics.misses == 0)
    #expect(statistics.demandBytes == 0)
    #expect(statistics.speculativeBytes == 2 * source.stride(1))
    #expect(statistics.speculativeUsedBytes == 2 * source.stride(1))
  }

  /// The first guess is always right, the second never: after a while only the first is read, and
  /// the second again once it has come true for long enough.
  @Test func ranksThatFailAreWatchedAndNotRead() throws {
    let source = try StreamingStore(layers: 2, experts: 12)
    let rig = try StreamingRig(source, slots: 6, expertsPerToken: 2)
    var dice = Dice(5)
    func speculated(turns: Int, second isRight: Bool) throws -> Int {
      let before = rig.streamer.statistics.speculativeBytes
      for _ in 0..<turns {
        // Nothing is computed between the requests, which the governor would take for a busy disk.
        rig.streamer.governor.restartWindow()
        rig.streamer.beginToken()
        let experts = dice.distinct(5, below: 12)
        try rig.request(0, [experts[0], experts[1]], .completion)
        rig.prefetch(1, [experts[2], experts[3]])
        try rig.request(1, [experts[2], isRight ? experts[3] : experts[4]], .completion)
      }
      rig.streamer.drain()
      return (rig.streamer.statistics.speculativeBytes - before) / source.stride(1)
    }
    _ = try speculated(turns: 32, second: false)
    #expect(!rig.streamer.predictions.isUseful(layer: 1, rank: 1))
    #expect(rig.streamer.predictions.isUseful(layer: 1, rank: 0))
    #expect(try speculated(turns: 16, second: false) <= 16)
    _ = try speculated(turns: 400, second: true)
    #expect(rig.streamer.predictions.isUseful(layer: 1, rank: 1))
    #expect(try speculated(turns: 32, second: true) > 16)
  }

  @Test func warmFillReadsThePopularThatFit() throws {
    let source = try StreamingStore(layers: 3, experts: 8)
    let rig = try StreamingRig(source, slots: 9, expertsPerToken: 2)
    let records = (0..<8).flatMap { rank in (0..<3).map { (layer: 2 - $0, expert: 7 - rank) } }
    var steps: [Int] = []
    try rig.streamer.warmFill(records + [(layer: 99, expert: 0), (layer: 0, expert: 99)]) {
      done, total in
      #expect(total == 9)
      steps.append(done)
    }
    #expect(steps.last == 9)
    #expect(steps == steps.sorted())
    for layer in 0..<3 { try rig.request(layer, [7, 6], .completion) }
    for layer in 0..<3 { try rig.request(layer, [5], .completion) }
    let statistics = rig.streamer.statistics
    #expect(statistics.hits == 9)
    #expect(statistics.misses == 0)
    #expect(statistics.warmBytes == (0..<3).reduce(0) { $0 + 3 * source.stride($1) })
    // The least popular of the fill goes first.
    try rig.request(0, [0], .completion)
    #expect(rig.streamer.statistics.evictions == 1)
  }
}
