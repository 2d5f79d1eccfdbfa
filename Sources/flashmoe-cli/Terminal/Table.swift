/// Rows of text in aligned columns.
struct Table {
  enum Alignment { case left, right }

  private let alignments: [Alignment]
  private var rows: [[String]] = []

  /// - Parameter alignments: one entry a column; the last column may be ragged.
  init(_ alignments: Alignment...) { self.alignments = alignments }

  mutating func add(_ cells: String...) { rows.append(cells) }
  mutating func add(_ cells: [String]) { rows.append(cells) }

  /// The table's lines, each starting with `indent` spaces and cut to `width` if it is given.
  func lines(indent: Int = 2, width: Int? = nil) -> [String] {
    var widths = Array(repeating: 0, count: alignments.count)
    for row in rows {
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    return rows.map { row in
      var line = String(repeating: " ", count: indent)
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        if column > 0 { line += "  " }
        line += alignments[column] == .left ? cell + padding : padding + cell
      }
      while line.last == " " { line.removeLast() }
      guard let width, line.count > width else { return line }
      return String(line.prefix(max(width - 1, 1))) + "…"
    }
  }

  func text(indent: Int = 2, width: Int? = nil) -> String {
    lines(indent: indent, width: width).joined(separator: "\n")
  }
}
