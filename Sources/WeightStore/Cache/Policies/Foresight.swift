import Glibc

/// Worth is how soon and how often a record is expected to be used, learned from what routers say.
///
/// For every record an estimate `value` of its discounted future uses is kept.  It is linear in
/// - how often the record was chosen, decayed with several half-lives,
/// - how close it came to being chosen, which says more than the choice alone,
/// - which experts of this layer the last token chose: their pull on the next token is learned
///   online by temporal differences (Sutton, 1988),
/// - what was chosen after earlier places of the present token: text repeats itself.
///
/// Its logarithm minus the time of the layer's next turn is the worth: of two records equally
/// likely to be used at their layers' next turns, the one whose turn is farther goes.  A layer's
/// estimates change only when its router has spoken, so no time is spent on the others.
/// `docs/caching.md` has the formulas, `docs/experiments/0008-foresight.md` how the constants were
/// chosen.
public struct Foresight: CachePolicy {
  /// Experts of a layer share rows of the learned tables beyond this many.
  private static let rowLimit = 128

  let constants: ForesightConstants
  private let expertsPerToken: Int
  private let base: [Int]
  private let layerOfRecord: [Int32]
  /// Rows of each layer's tables, and where the tables begin.
  private let rows: [Int]
  private let tableStart: [Int]

  // By record, features one after the other: [feature][Σ experts].
  private var chosenRate: [Float]
  private var closeness: [Float]
  private var value: [Float]
  private var logValue: [Float]
  /// What an expert chosen at a token adds to the values in its layer: [layer][row][expert].
  private var pull: [Float]
  private var history: RoutingHistory
  // By layer.
  private var nextTurn: [Double]
  private var hasSpoken: [Bool]
  /// [layer][k] chosen at the last token, -1 beyond those there were.
  private var lastChosen: [Int32]

  // For one layer, [E].
  private var wasChosen: [Float]
  private var isClose: [Float]
  private var estimate: [Float]

  /// - Parameter slotCount: what the cache holds, which tells how far ahead to look.
  public init(layerExperts: [Int], expertsPerToken: Int, slotCount: Int) {
    let workingSet = CachePartition.workingSet(
      layerExperts: layerExperts, expertsPerToken: expertsPerToken)
    constants = ForesightConstants(cachedTokens: Double(slotCount) / Double(max(1, workingSet)))
    self.expertsPerToken = expertsPerToken
    var base = [0]
    var layers: [Int32] = []
    var starts = [0]
    rows = layerExperts.map { min($0, Self.rowLimit) }
    for (layer, count) in layerExperts.enumerated() {
      base.append(base[layer] + count)
      layers += repeatElement(Int32(layer), count: count)
      starts.append(starts[layer] + rows[layer] * count)
    }
    self.base = base
    layerOfRecord = layers
    tableStart = starts
    let records = layers.count
    chosenRate = Array(repeating: 0, count: records * ForesightConstants.rateCount)
    closeness = Array(repeating: 0, count: records * ForesightConstants.closenessCount)
    value = Array(repeating: 0, count: records)
    logValue = Array(repeating: self.constants.worth(ofValue: 0), count: records)
    pull = Array(repeating: 0, count: starts[layerExperts.count])
    history = RoutingHistory(layerCount: layerExperts.count, expertsPerToken: expertsPerToken)
    nextTurn = Array(repeating: 0, count: layerExperts.count)
    hasSpoken = Array(repeating: false, count: layerExperts.count)
    lastChosen = Array(repeating: -1, count: layerExperts.count * expertsPerToken)
    let largest = layerExperts.max() ?? 0
    wasChosen = Array(repeating: 0, count: largest)
    isClose = wasChosen
    estimate = wasChosen
  }

  /// Memory it takes.
  public static func byteCount(layerExperts: [Int], expertsPerToken: Int) -> Int {
    let perRecord = ForesightConstants.rateCount + ForesightConstants.closenessCount + 3
    let learned = layerExperts.reduce(0) { sum, experts in
      sum + MemoryLayout<Float>.stride * experts * (perRecord + min(experts, rowLimit))
    }
    return learned
      + RoutingHistory.byteCount(
        layerCount: layerExperts.count, expertsPerToken: expertsPerToken)
  }

  public var followsRouter: Bool { true }

  public mutating func began(_ tokens: UnsafeBufferPointer<Int32>) { history.begin(tokens) }

  public mutating func routed(_ view: RouterView) {
    let layer = view.layer
    let count = base[layer + 1] - base[layer]
    mark(view, count: count)
    history.record(layer: layer, row: view.row, experts: view.chosen)
    for expert in 0..<count { estimate[expert] = 0 }
    let repeated = history.isLast(row: view.row) ? addRepetition(layer: layer, count: count) : 0
    addRates(layer: layer, count: count, less: repeated)
    addPulls(of: view.chosen, layer: layer, count: count)
    if hasSpoken[layer] { learn(layer: layer, count: count) }
    hasSpoken[layer] = true
    // What the next estimate will be judged by.
    let first = layer * expertsPerToken
    for at in 0..<expertsPerToken {
      lastChosen[first + at] = at < view.chosen.count ? view.chosen[at] : -1
    }
    nextTurn[layer] =
      Double(view.token) + 1 + Double(layer) / Double(max(1, nextTurn.count))
    publish(layer: layer, count: count)
  }

  /// Who was chosen, and how close the others came.
  private mutating func mark(_ view: RouterView, count: Int) {
    for expert in 0..<count { wasChosen[expert] = 0 }
    for expert in view.chosen { wasChosen[Int(expert)] = 1 }
    guard let codes = view.codes else {
      for expert in 0..<count { isClose[expert] = wasChosen[expert] }
      return
    }
    var threshold = 255
    for expert in view.chosen { threshold = min(threshold, Int(codes[Int(expert)])) }
    for expert in 0..<count {
      isClose[expert] = constants.closenessOfMargin[Int(codes[expert]) - threshold + 255]
    }
  }

  /// Adds what was chosen after earlier places of the present token.
  ///
  /// - Returns: by how much, summed over a place's experts, to be taken from what rates say.
  private mutating func addRepetition(layer: Int, count: Int) -> Float {
    guard history.matchCount > 0 else { return 0 }
    let certainty = 1 / (Float(history.matchCount) + constants.repetitionDoubt)
    return estimate.withUnsafeMutableBufferPointer { estimate in
      let estimate = UnsafeMutableBufferPointer(rebasing: estimate[..<count])
      var sum: Float = 0
      for (at, weight) in constants.repetitions.enumerated() {
        let added = weight * certainty
        let found = history.add(added, distance: at + 1, layer: layer, to: estimate)
        sum += added * Float(found)
      }
      return sum
    }
  }

  /// Ages the layer's rates and adds them up.
  private mutating func addRates(layer: Int, count: Int, less repeated: Float) {
    Self.age(
      &chosenRate, wasChosen, into: &estimate, start: base[layer], stride: value.count,
      count: count, constants.rates, less: repeated)
    Self.age(
      &closeness, isClose, into: &estimate, start: base[layer], stride: value.count, count: count,
      constants.closenesses, less: 0)
  }

  /// - Parameter less: taken from the weight of the term that says what is usual.
  private static func age(
    _ features: inout [Float], _ input: [Float], into estimate: inout [Float], start: Int,
    stride: Int, count: Int, _ terms: [ForesightConstants.Term], less: Float
  ) {
    features.withUnsafeMutableBufferPointer { features in
      estimate.withUnsafeMutableBufferPointer { estimate in
        input.withUnsafeBufferPointer { input in
          for (index, term) in terms.enumerated() {
            let first = index * stride + start
            let weight = index == ForesightConstants.usualRate ? term.weight - less : term.weight
            let feature = UnsafeMutableBufferPointer(rebasing: features[first..<first + count])
            for at in 0..<count {
              let aged = feature[at] + term.step * (input[at] - feature[at])
              feature[at] = aged
              estimate[at] += weight * aged
            }
          }
        }
      }
    }
  }

  /// Adds what the present token's choices mean for the next one.
  private mutating func addPulls(
    of chosen: UnsafeBufferPointer<Int32>, layer: Int, count: Int
  ) {
    estimate.withUnsafeMutableBufferPointer { estimate in
      pull.withUnsafeBufferPointer { pull in
        for expert in chosen.prefix(expertsPerToken) {
          let first = tableStart[layer] + Int(expert) % rows[layer] * count
          let row = UnsafeBufferPointer(rebasing: pull[first..<first + count])
          for at in 0..<count { estimate[at] += row[at] }
        }
      }
    }
  }

  /// Moves the last estimate's pulls toward what came: this use, and the present estimate.
  private mutating func learn(layer: Int, count: Int) {
    let discount = constants.discount
    let start = base[layer]
    // The difference takes the place of `isClose`, which is not needed any more.
    for at in 0..<count {
      isClose[at] =
        (1 - discount) * wasChosen[at] + discount * estimate[at] - value[start + at]
    }
    let rate = constants.learningRate
    isClose.withUnsafeBufferPointer { difference in
      pull.withUnsafeMutableBufferPointer { pull in
        let own = layer * expertsPerToken
        for expert in lastChosen[own..<own + expertsPerToken] where expert >= 0 {
          let first = tableStart[layer] + Int(expert) % rows[layer] * count
          let row = UnsafeMutableBufferPointer(rebasing: pull[first..<first + count])
          for at in 0..<count { row[at] += rate * difference[at] }
        }
      }
    }
  }

  private mutating func publish(layer: Int, count: Int) {
    let start = base[layer]
    for at in 0..<count {
      value[start + at] = estimate[at]
      logValue[start + at] = constants.worth(ofValue: estimate[at])
    }
  }

  public mutating func demanded(_ record: Int, at time: CacheTime) -> Double { worth(record) }

  public mutating func seeded(_ record: Int, popularity: Double) -> Double {
    let layer = Int(layerOfRecord[record])
    let experts = base[layer + 1] - base[layer]
    // Twice the mean for the most popular, the mean for the middle.
    let rate = Float(2 * popularity * Double(expertsPerToken) / Double(max(1, experts)))
    var sum: Float = 0
    for (index, term) in constants.rates.enumerated() {
      chosenRate[index * value.count + record] = rate
      sum += term.weight * rate
    }
    for (index, term) in constants.closenesses.enumerated() {
      closeness[index * value.count + record] = rate
      sum += term.weight * rate
    }
    value[record] = sum
    logValue[record] = constants.worth(ofValue: sum)
    return worth(record)
  }

  public func worth(_ record: Int) -> Double {
    Double(logValue[record]) - constants.urgency * nextTurn[Int(layerOfRecord[record])]
  }
}
