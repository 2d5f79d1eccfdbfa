import Testing

@testable import FlashMoE

@Suite struct SamplingTests {
  private func sample(
    _ options: SamplingOptions, _ logits: [Float], history: [Int32] = [], draws: Int = 1
  ) -> [Int32] {
    var sampler = Sampler(options, vocabularySize: logits.count)
    return (0..<draws).map { _ in
      var copy = logits
      return copy.withUnsafeMutableBufferPointer { sampler.sample($0, history: history) }
    }
  }

  private func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var options = SamplingOptions()
    options.seed = 42
    options.temperature = 1
    change(&options)
    return options
  }

  @Test func greedyTakesTheLargestAndTheLowestIdOnTies() {
    #expect(sample(.greedy, [0.1, 3, -1, 3]) == [1])
    #expect(sample(.greedy, [-5]) == [0])
  }

  @Test func drawsFollowTheDistribution() {
    // Probabilities 0.6439, 0.2369, 0.0871, 0.0321 for logits 3, 2, 1, 0.
    let draws = sample(options { _ in }, [3, 2, 1, 0], draws: 20000)
    let shares = (0..<4).map { id in Double(draws.filter { $0 == id }.count) / 20000 }
    for (share, want) in zip(shares, [0.6439, 0.2369, 0.0871, 0.0321]) {
      // Four standard deviations of a binomial share.
      #expect(abs(share - want) < 4 * (want * (1 - want) / 20000).squareRoot())
    }
  }

  @Test func theSeedDecidesEverything() {
    let logits = (0..<100).map { Float(($0 * 7919) % 101) / 10 }
    let one = sample(options { _ in }, logits, draws: 50)
    #expect(one == sample(options { _ in }, logits, draws: 50))
    #expect(one != sample(options { $0.seed = 43 }, logits, draws: 50))
  }

  @Test func topKKeepsTheMostLikely() {
    let draws = sample(
      options {
        $0.topK = 2; $0.temperature = 100
      }, [1, 5, 4, 2, 3], draws: 400)
    #expect(Set(draws) == [1, 2])
  }

  @Test func topPKeepsTheSmallestSetThatReachesIt() {
    // Shares 0.5, 0.25, 0.125, 0.125 (powers of two, in no order).
    let logits: [Float] = [-0.6931472, 0, -1.3862944, -1.3862944]
    #expect(Set(sample(options { $0.topP = 0.5 }, logits, draws: 200)) == [1])
    #expect(Set(sample(options { $0.topP = 0.6 }, logits, draws: 400)) == [0, 1])
    #expect(Set(sample(options { $0.topP = 1 }, logits, draws: 400)) == [0, 1, 2, 3])
  }

  @Test func minPIsRelativeToTheBest() {
    let logits: [Float] = [0, -0.6931472, -3]
    #expect(
      Set(
        sample(
          options {
            $0.minP = 0.4; $0.temperature = 50
          }, logits, draws: 400)) == [0, 1])
  }

  @Test func penaltiesLookAtRecentTokens() {
    let greedy = options {
      $0.temperature = 0
      $0.repetitionPenalty = 2
    }
    #expect(sample(greedy, [2, 3], history: [1]) == [0])  // 3/2 < 2
    #expect(sample(greedy, [-1.5, -1], history: [1]) == [0])  // -1*2 < -1.5
    let window = options {
      $0.temperature = 0
      $0.presencePenalty = 5
      $0.penaltyWindow = 1
    }
    #expect(sample(window, [2, 3], history: [1, 0]) == [1])  // 1 is out of the window
    let frequency = options {
      $0.temperature = 0
      $0.frequencyPenalty = 0.6
      $0.penaltyWindow = -1
    }
    #expect(sample(frequency, [2, 3], history: [1, 1]) == [0])  // 3 - 1.2 < 2
    #expect(sample(frequency, [2, 3], history: [1]) == [1])
  }

  @Test func nonsenseIsRefusedByFlag() {
    for (flag, change) in [
      ("--temp", { $0.temperature = -1 }), ("--top-k", { $0.topK = -1 }),
      ("--top-p", { $0.topP = 0 }), ("--min-p", { $0.minP = 2 }),
      ("--repeat-penalty", { $0.repetitionPenalty = 0 }),
      ("--temp", { $0.temperature = .nan }),
    ] as [(String, (inout SamplingOptions) -> Void)] {
      #expect { try options(change).validated() } throws: {
        "\($0)".hasPrefix(flag)
      }
    }
  }
}

@Suite struct StopMatcherTests {
  private func run(_ stops: [String], _ pieces: [String]) -> (String, Bool) {
    var matcher = StopMatcher(stops)
    var text = ""
    for piece in pieces {
      let (wanted, stopped) = matcher.append(piece)
      text += wanted
      if stopped { return (text, true) }
    }
    return (text + matcher.finish(), false)
  }

  @Test func findsStopsAcrossPieces() {
    #expect(run(["END"], ["ab E", "N", "D cd"]) == ("ab ", true))
    #expect(run(["END"], ["ab E", "N", "E"]) == ("ab ENE", false))
    #expect(run(["aab"], ["a", "a", "a", "b"]) == ("a", true))
    #expect(run(["x", "é!"], ["caf", "é", "!"]) == ("caf", true))
    #expect(run([], ["a", "b"]) == ("ab", false))
    #expect(run(["\n\n"], ["a\n", "b\n", "\nc"]) == ("a\nb", true))
  }

  /// However text is cut into pieces, the result is what cutting at the first stop gives.
  @Test func agreesWithSearchingTheWholeText() {
    var state: UInt64 = 9
    func random(_ limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1
      return Int(state >> 33) % limit
    }
    for _ in 0..<2000 {
      let stops = (0...random(2)).map { _ in
        String((0...random(3)).map { _ in "ab".randomElementBy(random) })
      }
      let pieces = (0..<random(8)).map { _ in
        String((0..<random(4)).map { _ in "abc".randomElementBy(random) })
      }
      let whole = Array(pieces.joined())
      var cut: Int?
      for start in whole.indices where cut == nil {
        if stops.contains(where: { whole[start...].starts(with: Array($0)) }) { cut = start }
      }
      // A stop is recognised as soon as one is complete; of those complete, the earliest wins.
      let (text, stopped) = run(stops, pieces)
      #expect(stopped == (cut != nil))
      if cut == nil { #expect(text == String(whole)) }
      if stopped { #expect(!stops.contains { text.contains($0) }) }
    }
  }
}

extension String {
  fileprivate func randomElementBy(_ random: (Int) -> Int) -> Character {
    self[index(startIndex, offsetBy: random(count))]
  }
}
