/// How a run of rows is cut into items that threads compute apart.
///
/// An item is a key/value head with as many rows as the kernel keeps in work at once, so that each
/// block of keys and values is read once for all of them.  A step of few rows has fewer such items
/// than threads; there the query heads of a group are dealt out too.  No cut changes a bit: an
/// output depends on its own query and what it sees.
struct AttentionSplit {
  struct Part: Equatable {
    var head: Int
    var rows: Range<Int>
    /// Query heads within the group that shares `head`.
    var queries: Range<Int>
  }

  /// Rows times query heads of one item.
  private static let lines = 64

  let count: Int
  private let rows: Int
  private let heads: Int
  private let group: Int
  private let rowsPerItem: Int
  private let shares: Int

  init(rows: Int, heads: Int, group: Int, threadCount: Int) {
    self.rows = rows
    self.heads = heads
    self.group = group
    let fair = rows * heads / (2 * threadCount)
    rowsPerItem = max(1, min(rows, Self.lines / group, fair))
    let runs = (rows + rowsPerItem - 1) / rowsPerItem
    shares = min(group, (threadCount + runs * heads - 1) / (runs * heads))
    count = runs * heads * shares
  }

  /// Items by ascending rows.
  subscript(item: Int) -> Part {
    let share = item % shares
    let head = item / shares % heads
    let first = item / (shares * heads) * rowsPerItem
    return Part(
      head: head, rows: first..<min(first + rowsPerItem, rows),
      queries: group * share / shares..<group * (share + 1) / shares)
  }
}
