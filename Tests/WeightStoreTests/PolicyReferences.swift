import Glibc

@testable import WeightStore

/// What a reference is told at a layer's turn.
struct Turn {
  var layer: Int
  var token: Int
  var word: Int
  var base: Int
  var codes: [Int]
  var records: [Int]
  var cached: Set<Int>
}

protocol ReferencePolicy {
  mutating func routed(_ turn: Turn)
  mutating func evicted(_ record: Int)
  func worst(of candidates: [Int]) -> Int
}

extension ReferencePolicy {
  mutating func evicted(_ record: Int) {}

  /// By value, then last use.
  func least(_ candidates: [Int], _ value: (Int) -> Double, _ lastUse: [Int: Int]) -> Int {
    candidates.min {
      (value($0), lastUse[$0] ?? 0) < (value($1), lastUse[$1] ?? 0)
    } ?? -1
  }
}

struct RecencyList: ReferencePolicy {
  var order: [Int] = []
  mutating func routed(_ turn: Turn) {
    order.removeAll(where: turn.records.contains)
    order += turn.records
  }
  func worst(of candidates: [Int]) -> Int { order.first(where: candidates.contains) ?? -1 }
}

struct FrequencyList: ReferencePolicy {
  var uses: [Int: Int] = [:]
  var lastUse: [Int: Int] = [:]
  var clock = 0
  mutating func routed(_ turn: Turn) {
    for record in turn.records {
      clock += 1
      uses[record, default: 0] += 1
      lastUse[record] = clock
    }
  }
  func worst(of candidates: [Int]) -> Int {
    least(candidates, { Double(uses[$0] ?? 0) }, lastUse)
  }
}

struct DecayedCounts: ReferencePolicy {
  var uses: [Int: [Int]] = [:]
  var now = 0
  mutating func routed(_ turn: Turn) {
    now = turn.token
    for record in turn.records { uses[record, default: []].append(turn.token) }
  }
  func worst(of candidates: [Int]) -> Int {
    // Ties are equal histories to the last bit; those do not occur in different layers' order.
    candidates.min { weight($0) < weight($1) } ?? -1
  }
  private func weight(_ record: Int) -> Double {
    (uses[record] ?? []).reduce(0) { $0 + exp2(Double($1 - now) / 64) }
      + Double(uses[record]?.last ?? 0) * 1e-15
  }
}

struct SegmentLists: ReferencePolicy {
  let protectedLimit: Int
  var probation: [Int] = []
  var protected: [Int] = []

  mutating func routed(_ turn: Turn) {
    for record in turn.records {
      if let at = protected.firstIndex(of: record) {
        protected.remove(at: at)
        protected.append(record)
      } else if turn.cached.contains(record) {
        probation.removeAll { $0 == record }
        protected.append(record)
        if protected.count > protectedLimit { probation.append(protected.removeFirst()) }
      } else {
        probation.append(record)
      }
    }
  }

  mutating func evicted(_ record: Int) {
    probation.removeAll { $0 == record }
    protected.removeAll { $0 == record }
  }

  func worst(of candidates: [Int]) -> Int {
    (probation + protected).first(where: candidates.contains) ?? -1
  }
}

struct StalenessList: ReferencePolicy {
  /// Turns of a layer, and at which of them a record was last chosen.
  var turns: [Int: Int] = [:]
  var layerOf: [Int: Int] = [:]
  var chosenAt: [Int: Int] = [:]
  var lastTurn: [Int: Int] = [:]
  var clock = 0
  var lastUse: [Int: Int] = [:]

  mutating func routed(_ turn: Turn) {
    clock += 1
    turns[turn.layer, default: 0] += 1
    lastTurn[turn.layer] = clock
    for (at, record) in turn.records.enumerated() {
      layerOf[record] = turn.layer
      chosenAt[record] = turns[turn.layer]
      lastUse[record] = clock * 10 + at
    }
  }

  func worst(of candidates: [Int]) -> Int {
    candidates.max { one, other in
      (staleness(one), lastTurn[layerOf[one] ?? 0] ?? 0, -(lastUse[one] ?? 0))
        < (staleness(other), lastTurn[layerOf[other] ?? 0] ?? 0, -(lastUse[other] ?? 0))
    } ?? -1
  }

  private func staleness(_ record: Int) -> Int {
    (turns[layerOf[record] ?? 0] ?? 0) - (chosenAt[record] ?? 0)
  }
}

/// The formulas of docs/caching.md with lists and no shortcuts.
struct PlainForesight: ReferencePolicy {
  let constants: ForesightConstants
  let layers: [Int]
  var rates: [[Float]]
  var closenesses: [[Float]]
  var value: [Float]
  var turn: [Double]
  /// [layer][cause][expert]
  var pull: [[[Float]]]
  var lastChosen: [[Int]]
  var layerOf: [Int]
  /// Every word so far, and [layer][k] what was chosen at it.
  var words: [Int] = []
  var choices: [[[Int]]] = []

  init(layers: [Int], perToken: Int, slots: Int) {
    constants = ForesightConstants(
      cachedTokens: Double(slots) / Double(layers.count * perToken))
    self.layers = layers
    let records = layers.reduce(0, +)
    rates = Array(repeating: [Float](repeating: 0, count: records), count: constants.rates.count)
    closenesses = Array(
      repeating: [Float](repeating: 0, count: records), count: constants.closenesses.count)
    value = Array(repeating: 0, count: records)
    turn = layers.map { _ in 0 }
    pull = layers.map { count in
      Array(repeating: [Float](repeating: 0, count: count), count: count)
    }
    lastChosen = layers.map { _ in [] }
    layerOf = layers.enumerated().flatMap { Array(repeating: $0.offset, count: $0.element) }
  }

  mutating func routed(_ turn: Turn) {
    let (layer, count) = (turn.layer, layers[turn.layer])
    let chosen = turn.records.map { $0 - turn.base }
    if turn.token > words.count {
      words.append(turn.word)
      choices.append([])
    }
    choices[words.count - 1].append(chosen)
    let threshold = chosen.map { turn.codes[$0] }.min() ?? 0
    var estimate = [Float](repeating: 0, count: count)
    let repeated = addRepetition(layer, &estimate)
    for expert in 0..<count {
      let record = turn.base + expert
      let used: Float = chosen.contains(expert) ? 1 : 0
      let close = constants.closenessOfMargin[turn.codes[expert] - threshold + 255]
      for (index, term) in constants.rates.enumerated() {
        rates[index][record] += term.step * (used - rates[index][record])
        let weight = index == ForesightConstants.usualRate ? term.weight - repeated : term.weight
        estimate[expert] += weight * rates[index][record]
      }
      for (index, term) in constants.closenesses.enumerated() {
        closenesses[index][record] += term.step * (close - closenesses[index][record])
        estimate[expert] += term.weight * closenesses[index][record]
      }
      for cause in chosen { estimate[expert] += pull[layer][cause][expert] }
    }
    for expert in 0..<count {
      let used: Float = chosen.contains(expert) ? 1 : 0
      let difference =
        (1 - constants.discount) * used + constants.discount * estimate[expert]
        - value[turn.base + expert]
      for cause in lastChosen[layer] {
        pull[layer][cause][expert] += constants.learningRate * difference
      }
    }
    lastChosen[layer] = chosen
    for expert in 0..<count { value[turn.base + expert] = estimate[expert] }
    self.turn[layer] = Double(turn.token) + 1 + Double(layer) / Double(layers.count)
  }

  private func addRepetition(_ layer: Int, _ estimate: inout [Float]) -> Float {
    let now = words.count - 1
    let places = (0..<now).reversed().filter { words[$0] == words[now] }
      .prefix(RoutingHistory.matchLimit)
    guard !places.isEmpty else { return 0 }
    let certainty = 1 / (Float(places.count) + constants.repetitionDoubt)
    var sum: Float = 0
    for (at, weight) in constants.repetitions.enumerated() {
      let followed = places.filter { $0 + at + 1 <= now }
      for place in followed {
        for expert in choices[place + at + 1][layer] { estimate[expert] += weight * certainty }
      }
      sum += weight * certainty * Float(followed.count)
    }
    return sum
  }

  func worst(of candidates: [Int]) -> Int {
    candidates.min { worth($0) < worth($1) } ?? -1
  }

  private func worth(_ record: Int) -> Double {
    Double(constants.worth(ofValue: value[record])) - constants.urgency * turn[layerOf[record]]
  }
}
