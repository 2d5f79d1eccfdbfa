import Support

extension TensorClassError {
  /// Adds up what all units report, in the order of the plan, whoever packed them and when.
  static func summary(_ units: PackUnits, _ errors: [[PieceError]]) -> [TensorClassError] {
    var rows: [TensorClassError] = []
    var sums: [PieceError] = []
    for (at, unit) in units.units.enumerated() {
      for (piece, error) in zip(unit.pieces, errors[at]) {
        let section = units.items[unit.item].sections[piece.section]
        guard case .matrix(let matrix) = section.layout else { continue }
        let formats = Set(section.rows.sources.map(\.format))
        let key = TensorClassError(
          tensorClass: section.tensorClass,
          formats: formats.sorted { $0.rawValue < $1.rawValue }, scheme: matrix.scheme, weights: 0,
          isExact: formats.allSatisfy { $0.isExact(in: matrix.scheme) }, relativeError: 0,
          greatestError: 0)
        let index =
          rows.firstIndex {
            $0.tensorClass == key.tensorClass && $0.formats == key.formats
              && $0.scheme == key.scheme
          } ?? rows.count
        if index == rows.count {
          rows.append(key)
          sums.append(PieceError())
        }
        for block in piece.blocks {
          let (source, range) = section.rows.rows(ofBlock: block)
          rows[index].weights += range.count * source.columns
        }
        sums[index].add(error)
      }
    }
    for (at, sum) in sums.enumerated() where sum.squares > 0 {
      rows[at].relativeError = (sum.squaredError / sum.squares).squareRoot()
      // Where exact rows are among them, only the others were measured; the ratio is theirs at least.
      rows[at].greatestError =
        Double(sum.greatestError) / (sum.squares / Double(rows[at].weights)).squareRoot()
    }
    return rows
  }

  public var json: JSONValue {
    .object([
      "class": .string(tensorClass),
      "source": .array(formats.map { .string($0.rawValue) }),
      "scheme": .string(scheme.rawValue),
      "weights": .integer(weights),
      "exact": .bool(isExact),
      "relative_error": .number(relativeError),
      "greatest_error": .number(greatestError),
    ])
  }
}
