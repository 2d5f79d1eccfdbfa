/// Merges of a byte-pair encoding: (left id, right id) to (rank, id of the whole), in one
/// open-addressing table of 16-byte slots, so that a look-up costs one cache line.
struct MergeTable: Sendable {
  struct Slot: Sendable {
    var left: UInt32
    var right: UInt32
    var rank: UInt32
    var whole: UInt32
    static let free = Slot(left: .max, right: .max, rank: .max, whole: 0)
  }

  private(set) var slots: [Slot]
  private let seed: UInt64
  private let factor: UInt64
  let count: Int

  /// - Parameter merges: in order of rank; of two with the same halves the later one holds, as in
  ///   the `tokenizers` library.
  init(_ merges: [(left: UInt32, right: UInt32, whole: UInt32)]) {
    var capacity = 16
    while capacity * 4 < merges.count * 5 { capacity *= 2 }
    slots = [Slot](repeating: .free, count: capacity)
    // Random per process: a file cannot be made to collide on purpose.
    seed = UInt64.random(in: 0 ... .max)
    factor = UInt64.random(in: 0 ... .max) | 1
    count = merges.count
    for (rank, merge) in merges.enumerated() {
      var at = Self.hash(merge.left, merge.right, seed, factor) & (capacity - 1)
      while slots[at].left != .max,
        slots[at].left != merge.left || slots[at].right != merge.right
      {
        at = (at + 1) & (capacity - 1)
      }
      slots[at] = Slot(
        left: merge.left, right: merge.right, rank: UInt32(rank), whole: merge.whole)
    }
  }

  @inline(__always)
  private static func hash(_ left: UInt32, _ right: UInt32, _ seed: UInt64, _ factor: UInt64) -> Int
  {
    let product = ((UInt64(left) << 32 | UInt64(right)) ^ seed).multipliedFullWidth(by: factor)
    return Int(truncatingIfNeeded: product.high ^ product.low)
  }

  /// Borrowed view for the inner loop.
  struct View {
    let slots: UnsafeBufferPointer<Slot>
    let seed: UInt64
    let factor: UInt64

    /// The merge of two symbols; its rank is `UInt32.max` where there is none.
    @inline(__always)
    func find(_ left: UInt32, _ right: UInt32) -> (rank: UInt32, whole: UInt32) {
      let mask = slots.count - 1
      var at = MergeTable.hash(left, right, seed, factor) & mask
      while true {
        let slot = slots[at]
        if slot.left == left, slot.right == right { return (slot.rank, slot.whole) }
        if slot.left == .max { return (.max, 0) }
        at = (at + 1) & mask
      }
    }
  }

  func withView<Result, Problem: Error>(
    _ body: (View) throws(Problem) -> Result
  ) throws(Problem) -> Result {
    try slots.withUnsafeBufferPointer { (slots) throws(Problem) -> Result in
      try body(View(slots: slots, seed: seed, factor: factor))
    }
  }
}
