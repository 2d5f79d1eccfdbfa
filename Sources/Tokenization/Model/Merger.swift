/// Merges neighbouring symbols, lowest rank first and leftmost first among equals.
///
/// Short words scan for the lowest rank; long ones (a vocabulary without a pre-tokenizer sees the
/// whole text as one word) take it from a heap: n log n instead of n².
struct Merger {
  /// The word's symbols; used up by `merge`.
  var symbols: [UInt32] = []
  private var ranks: [UInt32] = []
  private var wholes: [UInt32] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap: [UInt64] = []
  let scanLimit: Int

  /// - Parameter scanLimit: longest word, in symbols, that is scanned.
  init(scanLimit: Int = 64) { self.scanLimit = scanLimit }

  mutating func merge(_ table: MergeTable, into ids: inout [Int32]) {
    if symbols.count > 1 {
      table.withView { view in
        if symbols.count <= scanLimit { scan(view) } else { drain(view) }
      }
    }
    for symbol in symbols { ids.append(Int32(bitPattern: symbol)) }
  }

  private mutating func scan(_ table: MergeTable.View) {
    var count = symbols.count
    ranks.removeAll(keepingCapacity: true)
    wholes.removeAll(keepingCapacity: true)
    for at in 0..<count - 1 {
      let found = table.find(symbols[at], symbols[at + 1])
      ranks.append(found.rank)
      wholes.append(found.whole)
    }
    symbols.withUnsafeMutableBufferPointer { symbols in
      ranks.withUnsafeMutableBufferPointer { ranks in
        wholes.withUnsafeMutableBufferPointer { wholes in
          while count > 1 {
            var best = 0
            for at in 1..<count where at < count - 1 && ranks[at] < ranks[best] { best = at }
            guard ranks[best] != .max else { break }
            symbols[best] = wholes[best]
            count -= 1
            for at in best + 1..<max(count, best + 1) { symbols[at] = symbols[at + 1] }
            for at in best..<max(count - 1, best) {
              ranks[at] = ranks[at + 1]
              wholes[at] = wholes[at + 1]
            }
            for at in [best - 1, best] where at >= 0 && at < count - 1 {
              let found = table.find(symbols[at], symbols[at + 1])
              ranks[at] = found.rank
              wholes[at] = found.whole
            }
          }
        }
      }
    }
    symbols.removeSubrange(count...)
  }

  private mutating func drain(_ table: MergeTable.View) {
    let count = symbols.count
    next = (1...Int32(count)).map { $0 }
    next[count - 1] = -1
    previous = (0..<Int32(count)).map { $0 - 1 }
    heap.removeAll(keepingCapacity: true)
    for at in 0..<count - 1 { push(at, table) }
    while let entry = pop() {
      let at = Int(UInt32(truncatingIfNeeded: entry))
      let right = Int(next[at])
      // An entry is stale when its pair changed since; the rank tells, for a pair has one rank.
      guard symbols[at] != .max, right >= 0 else { continue }
      let found = table.find(symbols[at], symbols[right])
      guard found.rank == UInt32(entry >> 32) else { continue }
      symbols[at] = found.whole
      symbols[right] = .max
      next[at] = next[right]
      if next[at] >= 0 {
        previous[Int(next[at])] = Int32(at)
        push(at, table)
      }
      if previous[at] >= 0 { push(Int(previous[at]), table) }
    }
    symbols.removeAll { $0 == .max }
  }

  private mutating func push(_ at: Int, _ table: MergeTable.View) {
    let found = table.find(symbols[at], symbols[Int(next[at])])
    guard found.rank != .max else { return }
    heap.append(UInt64(found.rank) << 32 | UInt64(at))
    var child = heap.count - 1
    while child > 0, heap[child] < heap[(child - 1) / 2] {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func pop() -> UInt64? {
    guard let top = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return top }
    heap[0] = last
    var parent = 0
    while true {
      var child = parent * 2 + 1
      guard child < heap.count else { return top }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return top }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
