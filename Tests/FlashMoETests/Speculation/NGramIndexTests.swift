import TestSupport
import Testing

@testable import FlashMoE

@Suite struct NGramIndexTests {
  private func index(_ tokens: [Int32], contextLength: Int = 16384) -> NGramIndex {
    var index = NGramIndex(contextLength: contextLength)
    for token in tokens { index.append(token) }
    return index
  }

  private func draft(_ tokens: [Int32], count: Int) -> [Int32]? {
    let index = index(tokens)
    guard let match = index.match() else { return nil }
    var draft: [Int32] = []
    index.draft(match, count: count, into: &draft)
    return draft
  }

  /// The place after the latest earlier occurrence of the longest suffix of 2 to 4 tokens.
  private func reference(_ tokens: [Int32]) -> Int? {
    for n in stride(from: 4, through: 2, by: -1) where tokens.count > n {
      let suffix = tokens.suffix(n)
      for next in stride(from: tokens.count - 1, through: n, by: -1)
      where tokens[next - n..<next].elementsEqual(suffix) {
        return next
      }
    }
    return nil
  }

  @Test func proposesWhatFollowedTheLatestOccurrence() {
    #expect(draft([1, 2, 3, 9, 1, 2], count: 3) == [3, 9, 1])
    #expect(draft([1, 2, 3, 1, 2, 4, 1, 2], count: 1) == [4])
    // The longer match is the better one, however old.
    #expect(draft([7, 1, 2, 5, 8, 1, 2, 6, 7, 1, 2], count: 1) == [5])
    #expect(draft([1, 2, 3, 4], count: 3) == nil)
    #expect(draft([1], count: 3) == nil)
    #expect(draft([], count: 3) == nil)
  }

  @Test func loopsAreDraftedWhole() {
    #expect(draft([5, 5, 5], count: 4) == [5, 5, 5, 5])
    #expect(draft([1, 2, 3, 1, 2, 3], count: 7) == [1, 2, 3, 1, 2, 3, 1])
  }

  @Test func matchesTellTheirLength() {
    #expect(index([9, 1, 2, 8, 1, 2]).match() == NGramIndex.Match(next: 3, length: 2))
    #expect(index([1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6]).match()?.length == 6)
    let long = (0..<40).map { Int32($0) }
    #expect(index(long + [99] + long).match()?.length == NGramIndex.comparedLength)
  }

  /// A collision may lose a match, and never makes one.
  @Test(arguments: [(64, 3), (64, 40), (16384, 3), (16384, 12)])
  func agreesWithSearching(contextLength: Int, vocabulary: Int) {
    var random = SeededRandom(seed: UInt64(contextLength + vocabulary))
    var index = NGramIndex(contextLength: contextLength)
    var tokens: [Int32] = []
    var (found, missed) = (0, 0)
    for _ in 0..<1500 {
      let token = Int32.random(in: 0..<Int32(vocabulary), using: &random)
      index.append(token)
      tokens.append(token)
      let want = reference(tokens)
      guard let match = index.match() else {
        if want != nil { missed += 1 }
        continue
      }
      found += 1
      #expect(match.next < tokens.count && match.length >= 2)
      #expect(
        tokens[match.next - match.length..<match.next].elementsEqual(tokens.suffix(match.length)))
      if match.next != want { missed += 1 }
    }
    #expect(found > 100)
    if contextLength == 16384, vocabulary == 3 { #expect(missed < found / 50) }
  }

  @Test func emptyingForgetsEverythingAndKeepsNothingOfChance() {
    let text = (0..<500).map { Int32($0 * $0 % 37) }
    var used = index(text, contextLength: 512)
    used.removeAll()
    #expect(used.match() == nil)
    var fresh = NGramIndex(contextLength: 512)
    for token in text {
      used.append(token)
      fresh.append(token)
      #expect(used.match() == fresh.match())
    }
    #expect(NGramIndex.bytes(contextLength: 512) == (513 + 3 * 512) * 4)
    #expect(NGramIndex.bytes(contextLength: 1 << 18) == ((1 << 18) + 1 + 3 * 16384) * 4)
  }
}
