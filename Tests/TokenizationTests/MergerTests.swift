import Testing

@testable import Tokenization

@Suite struct MergerTests {
  /// The definition: while a pair has a merge, merge the leftmost of the lowest rank.
  private static func reference(
    _ word: [UInt32], _ merges: [(left: UInt32, right: UInt32, whole: UInt32)]
  ) -> [Int32] {
    var word = word
    while true {
      var best: (rank: Int, at: Int)?
      for at in word.indices.dropLast() {
        let rank = merges.lastIndex { $0.left == word[at] && $0.right == word[at + 1] }
        if let rank, rank < best?.rank ?? .max { best = (rank, at) }
      }
      guard let best else { return word.map { Int32($0) } }
      word.replaceSubrange(best.at...best.at + 1, with: [merges[best.rank].whole])
    }
  }

  @Test func scanAndHeapFollowTheDefinition() {
    var random = Random(seed: 17)
    for _ in 0..<600 {
      // Letters 0…3; every merge makes a new symbol out of any two before it.
      var merges: [(left: UInt32, right: UInt32, whole: UInt32)] = []
      for whole in UInt32(4)..<4 + UInt32(random.next() % 20) {
        merges.append(
          (UInt32(random.next() % UInt64(whole)), UInt32(random.next() % UInt64(whole)), whole))
      }
      for at in merges.indices.reversed() {
        merges.swapAt(at, Int(random.next() % UInt64(at + 1)))
      }
      let table = MergeTable(merges)
      let word = (0..<random.next() % 70).map { _ in UInt32(random.next() % 4) }
      let expected = Self.reference(word, merges)
      for limit in [0, 1000] {
        var merger = Merger(scanLimit: limit)
        var ids: [Int32] = []
        merger.symbols = word
        merger.merge(table, into: &ids)
        #expect(ids == expected, "scan limit \(limit), \(word), \(merges)")
      }
    }
  }

  @Test func laterMergeOfAPairHolds() {
    let table = MergeTable([(0, 1, 2), (2, 2, 3), (0, 1, 4)])
    table.withView { view in
      #expect(view.find(0, 1).rank == 2)
      #expect(view.find(0, 1).whole == 4)
      #expect(view.find(1, 0).rank == .max)
    }
  }
}
