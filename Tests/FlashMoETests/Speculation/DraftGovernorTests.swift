import TestSupport
import Testing

@testable import FlashMoE

/// The governor against worlds whose times and acceptance are made up: no clock is involved.
@Suite struct DraftGovernorTests {
  /// A machine and a text.
  struct World: Sendable {
    /// Time of a step by rows, in plain steps.
    var time: @Sendable (Int) -> Double
    /// Probability that a drafted token is right when those before it were.
    var acceptance: Double
    var noise = 0.2
  }

  static let inMemory: @Sendable (Int) -> Double = { 1 + 0.1 * Double($0 - 1) }
  /// Every row reads its own experts.
  static let diskBound: @Sendable (Int) -> Double = { 0.05 + 0.95 * Double($0) }

  /// Time for `tokens` tokens, as a share of what plain steps take.
  private func share(
    _ world: World, governor: inout DraftGovernor, random: inout SeededRandom, tokens: Int = 4000,
    matchLength: Int = 8
  ) -> Double {
    var (time, done) = (0.0, 0)
    while done < tokens {
      let length = governor.length(matchLength: matchLength, limit: 15)
      #expect((0...15).contains(length))
      var accepted = 0
      while accepted < length, Double.random(in: 0..<1, using: &random) < world.acceptance {
        accepted += 1
      }
      let noise = 1 + Double.random(in: -world.noise...world.noise, using: &random)
      let step = world.time(length + 1) * noise
      governor.stepped(rows: length + 1, nanoseconds: UInt64(step * 1e6))
      if length > 0 {
        governor.judged(
          matchLength: matchLength, accepted: accepted, judged: min(accepted + 1, length))
      }
      time += step
      done += 1 + accepted
    }
    return time / Double(done)
  }

  private func share(_ world: World, readsRecords: Bool, tokens: Int = 4000) -> Double {
    var governor = DraftGovernor(readsRecords: readsRecords)
    var random = SeededRandom(seed: 5)
    return share(world, governor: &governor, random: &random, tokens: tokens)
  }

  @Test func draftsWhereRowsAreCheapAndTextRepeats() {
    // The best possible here, with 15 drafts a step, is 0.31.
    #expect(share(World(time: Self.inMemory, acceptance: 0.9), readsRecords: false) < 0.37)
    #expect(share(World(time: Self.inMemory, acceptance: 0.9), readsRecords: true) < 0.37)
    #expect(share(World(time: Self.inMemory, acceptance: 0.5), readsRecords: false) < 0.75)
  }

  @Test func doesNotDraftWhereEveryRowCostsAStep() {
    for acceptance in [0.0, 0.5, 0.88] {
      let world = World(time: Self.diskBound, acceptance: acceptance)
      #expect(share(world, readsRecords: true) < 1.03)
      #expect(share(world, readsRecords: false) < 1.03)
    }
  }

  @Test func doesNotDraftWhatIsNeverRight() {
    #expect(share(World(time: Self.inMemory, acceptance: 0), readsRecords: false) < 1.02)
    #expect(share(World(time: Self.inMemory, acceptance: 0.05), readsRecords: false) < 1.02)
  }

  @Test func stutteringDisksDoNotTurnItsHead() {
    // Long pauses now and then, for plain and drafted steps alike.
    let world = World(time: Self.inMemory, acceptance: 0.9, noise: 0.9)
    #expect(share(world, readsRecords: true) < 0.45)
  }

  /// Text and machine change; the governor finds out, both ways.
  @Test func followsChange() {
    var governor = DraftGovernor(readsRecords: true)
    var random = SeededRandom(seed: 11)
    let good = World(time: Self.inMemory, acceptance: 0.9)
    let bad = World(time: Self.diskBound, acceptance: 0.3)
    #expect(share(bad, governor: &governor, random: &random) < 1.05)
    _ = share(good, governor: &governor, random: &random, tokens: 6000)
    #expect(share(good, governor: &governor, random: &random) < 0.4)
    #expect(share(bad, governor: &governor, random: &random) < 1.08)
  }

  @Test func longMatchesAreTrustedAndShortOnesLearned() {
    var governor = DraftGovernor(readsRecords: false)
    for _ in 0..<8 { governor.stepped(rows: 1, nanoseconds: 1_000_000) }
    #expect(
      governor.length(matchLength: 12, limit: 15) > governor.length(matchLength: 4, limit: 15))
    #expect(governor.length(matchLength: 2, limit: 15) == 0)
    #expect(governor.length(matchLength: 12, limit: 1) == 1)
    #expect(governor.length(matchLength: 12, limit: 0) == 0)
    for _ in 0..<40 { governor.judged(matchLength: 2, accepted: 3, judged: 3) }
    #expect(governor.length(matchLength: 2, limit: 15) > 2)
    // What is learned of one class says nothing of another.
    #expect(governor.length(matchLength: 3, limit: 15) <= 2)
  }

  @Test func nothingIsDraftedBeforeAPlainStepIsKnown() {
    var governor = DraftGovernor(readsRecords: false)
    #expect(governor.length(matchLength: 16, limit: 15) == 0)
    for _ in 0..<3 { governor.stepped(rows: 1, nanoseconds: 1000) }
    #expect(governor.length(matchLength: 16, limit: 15) == 0)
    governor.stepped(rows: 1, nanoseconds: 1000)
    #expect(governor.length(matchLength: 16, limit: 15) > 0)
  }

  /// In the middle of a long copy one step in 32 is plain.
  @Test func plainStepsStayMeasured() {
    var governor = DraftGovernor(readsRecords: false)
    for _ in 0..<4 { governor.stepped(rows: 1, nanoseconds: 1000) }
    var plain = 0
    for _ in 0..<320 {
      let length = governor.length(matchLength: 16, limit: 15)
      if length == 0 { plain += 1 }
      governor.stepped(rows: length + 1, nanoseconds: UInt64(1000 * Self.inMemory(length + 1)))
      if length > 0 { governor.judged(matchLength: 16, accepted: length, judged: length) }
    }
    #expect((9...11).contains(plain))
  }
}
