import Support

extension QuantizationError {
  /// Adds up what all units report, in the order of the plan, whoever packed them and when.
  static func summary(_ units: PackUnits, _ errors: [[PieceError]]) -> [QuantizationError] {
    var rows: [QuantizationError] = []
    var sums: [PieceError] = []
    for (at, unit) in units.units.enumerated() {
      let item = units.items[unit.item]
      for (piece, error) in zip(unit.pieces, errors[at]) {
        let section = item.sections[piece.section]
        guard case .matrix(let matrix) = section.layout else { continue }
        var (weights, exact) = (0, 0)
        for block in piece.blocks {
          let (source, range) = section.rows.rows(ofBlock: block)
          weights += range.count * source.columns
          if source.format.isExact(in: matrix.scheme) { exact += range.count * source.columns }
        }
        let index: Int
        if let known = rows.firstIndex(where: {
          $0.part == item.part && $0.scheme == matrix.scheme
        }) {
          index = known
        } else {
          index = rows.count
          rows.append(
            QuantizationError(
              part: item.part, scheme: matrix.scheme, weights: 0, exactWeights: 0,
              relativeSquaredError: 0))
          sums.append(PieceError())
        }
        rows[index].weights += weights
        rows[index].exactWeights += exact
        sums[index].add(error)
      }
    }
    for (at, sum) in sums.enumerated() where sum.squares > 0 {
      rows[at].relativeSquaredError = rounded(sum.squaredError / sum.squares)
    }
    return rows
  }

  /// Four significant digits: more would promise a precision nobody needs.
  private static func rounded(_ value: Double) -> Double {
    guard value > 0, value.isFinite else { return 0 }
    var scale = 1.0
    while value * scale < 1000 { scale *= 10 }
    return (value * scale).rounded() / scale
  }

  var json: JSONValue {
    .object([
      "part": .string(part.rawValue),
      "scheme": .string(scheme.rawValue),
      "weights": .integer(weights),
      "exact_weights": .integer(exactWeights),
      "relative_squared_error": .number(relativeSquaredError),
    ])
  }
}
