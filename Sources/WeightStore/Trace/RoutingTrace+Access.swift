extension RoutingTrace {
  /// A trace of chosen experts alone, all tokens decoded.
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
    tokens = Array(repeating: 0, count: count)
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
