/// How latent attention over a run of rows is cut into items that threads compute apart.
///
/// All heads share the cache, so an item may be any rows of any heads: as many lines as the kernel
/// works well with.  Many rows of few heads are preferred, because a head's own matrices are then
/// read once for them.  No cut changes a bit.
struct LatentSplit {
  struct Part: Equatable {
    var rows: Range<Int>
    var heads: Range<Int>
  }

  /// Rows times heads of an item, at most.
  static let lines = 64

  let count: Int
  private let rows: Int
  private let heads: Int
  private let rowsPerItem: Int
  private let headsPerItem: Int
  private let headRuns: Int

  init(rows: Int, heads: Int, threadCount: Int) {
    self.rows = rows
    self.heads = heads
    rowsPerItem = min(rows, Self.lines)
    let runs = (rows + rowsPerItem - 1) / rowsPerItem
    let fair = heads * runs / (2 * threadCount)
    headsPerItem = max(1, min(heads, Self.lines / rowsPerItem, fair))
    headRuns = (heads + headsPerItem - 1) / headsPerItem
    count = runs * headRuns
  }

  /// Items by ascending rows.
  subscript(item: Int) -> Part {
    let first = item / headRuns * rowsPerItem
    let head = item % headRuns * headsPerItem
    return Part(
      rows: first..<min(first + rowsPerItem, rows), heads: head..<min(head + headsPerItem, heads))
  }
}
