extension RoutingTrace {
  /// A trace of chosen experts alone, all tokens decoded and each another.
  ///
  /// - Parameter routing: for each layer, [n][k] distinct experts of every token.
  public init(routing: [[Int32]], layerExperts: [Int], expertsPerToken: Int) {
    precondition(routing.count == layerExperts.count)
    self.init(
      model: "", fingerprint: Checksum(value: 0),
      layers: layerExperts.enumerated().map {
        Layer(layer: $0.offset, expertCount: $0.element, recordBytes: 1)
      }, expertsPerToken: expertsPerToken, predictionCount: 0)
    let count = (routing.first?.count ?? 0) / max(1, expertsPerToken)
    tokens = (0..<count).map { UInt32($0) }
    for token in 0..<count {
      for layer in routing {
        for position in token * expertsPerToken..<(token + 1) * expertsPerToken {
          chosen.append(UInt16(truncatingIfNeeded: layer[position]))
        }
      }
    }
    if count > 0 { steps = [StepRun(rows: 1, count: count)] }
  }

  @inline(__always)
  func chosen(token: Int, layer: Int, _ position: Int) -> UInt16 {
    chosen[(token * layers.count + layer) * expertsPerToken + position]
  }

  /// What a step asks for: one token's experts by falling weight, or all rows' experts ascending.
  func experts(of rows: Range<Int>, layer: Int) -> [Int32] {
    if rows.count == 1 {
      return (0..<expertsPerToken).map {
        Int32(chosen(token: rows.lowerBound, layer: layer, $0))
      }
    }
    return union(of: rows, layer, chosen, each: expertsPerToken, ranks: expertsPerToken)
  }

  /// What the layer before predicts: for one token by falling likelihood, else ascending; empty
  /// where nothing was predicted.
  func predictedExperts(of rows: Range<Int>, layer: Int, ranks: Int) -> [Int32] {
    let ranks = min(ranks, predictionCount)
    guard rows.count == 1 else {
      return union(of: rows, layer, predicted, each: predictionCount, ranks: ranks)
    }
    let first = (rows.lowerBound * layers.count + layer) * predictionCount
    return predicted[first..<first + ranks].filter { $0 != Self.none }.map { Int32($0) }
  }

  private func union(
    of rows: Range<Int>, _ layer: Int, _ lists: [UInt16], each: Int, ranks: Int
  ) -> [Int32] {
    var isIn = Array(repeating: false, count: layers[layer].expertCount)
    for token in rows {
      let first = (token * layers.count + layer) * each
      for expert in lists[first..<first + ranks] where expert != Self.none {
        isIn[Int(expert)] = true
      }
    }
    return isIn.indices.filter { isIn[$0] }.map { Int32($0) }
  }
}

extension RoutingTrace {
  /// How often every record was chosen, through all layers.
  public var popularity: [Int] {
    var counts = Array(repeating: 0, count: recordCount)
    var bases = [0]
    for layer in layers { bases.append(bases[bases.count - 1] + layer.expertCount) }
    for (at, expert) in chosen.enumerated() where expert != Self.none {
      counts[bases[at / expertsPerToken % layers.count] + Int(expert)] += 1
    }
    return counts
  }
}

extension RoutingTrace {
  /// Of each layer and rank, the share of predictions that the router then chose; nil where nothing
  /// was predicted.
  public var predictionShares: [[Double]?] {
    layers.indices.map { layer in
      var right = Array(repeating: 0, count: predictionCount)
      var count = 0
      for token in tokens.indices {
        let guesses = predictedExperts(
          of: token..<token + 1, layer: layer, ranks: predictionCount)
        guard guesses.count == predictionCount, predictionCount > 0 else { continue }
        count += 1
        let chosen = experts(of: token..<token + 1, layer: layer)
        for (rank, guess) in guesses.enumerated() where chosen.contains(guess) { right[rank] += 1 }
      }
      return count == 0 ? nil : right.map { Double($0) / Double(count) }
    }
  }
}
