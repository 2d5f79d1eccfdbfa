import Testing

@testable import WeightStore

@Suite struct StreamingGovernorTests {
  private func run(
    _ governor: inout PrefetchGovernor, tokens: Int, from start: PrefetchGovernor.Reading,
    busy: UInt64, issued: Int, used: Int
  ) -> PrefetchGovernor.Reading {
    var reading = start
    for _ in 0..<tokens {
      governor.token(reading)
      reading.nanoseconds += 100
      reading.demandBusyNanoseconds += busy
      reading.issuedBytes += governor.isSuspended ? 0 : issued
      reading.usedBytes += governor.isSuspended ? 0 : used
    }
    return reading
  }

  private let zero = PrefetchGovernor.Reading(
    nanoseconds: 0, demandBusyNanoseconds: 0, issuedBytes: 0, usedBytes: 0)

  @Test func idleDiskAndGoodGuessesGoOn() {
    var governor = PrefetchGovernor(judgedBytes: 100)
    _ = run(&governor, tokens: 1000, from: zero, busy: 80, issued: 100, used: 50)
    #expect(!governor.isSuspended)
    #expect(governor.suspensions == 0)
  }

  @Test func saturationSuspendsForLongerEachTime() {
    var governor = PrefetchGovernor(judgedBytes: 100)
    var reading = zero
    var suspendedTokens = 0
    for _ in 0..<2000 {
      reading = run(&governor, tokens: 1, from: reading, busy: 95, issued: 0, used: 0)
      if governor.isSuspended { suspendedTokens += 1 }
    }
    // 32, 64, 128, 256, 512, 512, and the rest of one more.
    #expect(governor.suspensions == 7)
    #expect(suspendedTokens > 1900)
    // A disk that has become idle brings speculation back for good.
    reading = run(&governor, tokens: 600, from: reading, busy: 10, issued: 100, used: 90)
    #expect(!governor.isSuspended)
  }

  @Test func uselessGuessesSuspend() {
    var governor = PrefetchGovernor(judgedBytes: 100)
    _ = run(&governor, tokens: 10, from: zero, busy: 10, issued: 100, used: 30)
    #expect(governor.isSuspended)
    // Too few bytes say nothing.
    var other = PrefetchGovernor(judgedBytes: 10000)
    _ = run(&other, tokens: 10, from: zero, busy: 10, issued: 100, used: 0)
    #expect(!other.isSuspended)
  }

  @Test func queueKeepsOrder() {
    var queue = IndexQueue(capacity: 3)
    for round in 0..<5 {
      queue.append(round)
      queue.append(round + 100)
      queue.append(round + 200)
      queue.remove(round + 100)
      #expect(queue.count == 2)
      #expect(queue.first == round)
      #expect(queue.popFirst() == round)
      #expect(queue.popFirst() == round + 200)
      #expect(queue.popFirst() == nil)
    }
  }
}
