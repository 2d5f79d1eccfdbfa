/// A Markdown table whose source is aligned too, for people who read it in a terminal.
struct MarkdownTable {
  let titles: [String]
  /// Columns of words; numbers stand to the right.
  let leftAligned: Set<String>
  var rows: [[String]] = []

  init(_ titles: [String], leftAligned: Set<String>) {
    self.titles = titles
    self.leftAligned = leftAligned
  }

  var lines: [String] {
    let widths = titles.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    func line(_ cells: [String]) -> String {
      "|"
        + cells.enumerated().map { column, cell in
          let padding = String(repeating: " ", count: widths[column] - cell.count)
          return " " + (leftAligned.contains(titles[column]) ? cell + padding : padding + cell)
            + " |"
        }.joined()
    }
    let rule =
      "|"
      + titles.indices.map { column in
        let dashes = String(repeating: "-", count: widths[column] + 1)
        return leftAligned.contains(titles[column]) ? ":" + dashes + "|" : dashes + ":|"
      }.joined()
    return [line(titles), rule] + rows.map(line)
  }
}
