import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Contexts of many key blocks, in every cache format: the split of a prompt never shows.
@Suite struct LongContextTests {
  private static let length = 1100

  private static var tokens: [Int32] {
    var random = SeededRandom(seed: 9)
    return (0..<length).map { _ in Int32.random(in: 0..<250, using: &random) }
  }

  private func engine(
    _ store: Store, _ type: KeyValueType, threads: Int = 2, level: KernelLevel? = nil
  ) throws -> Engine {
    try Engine(
      store: store,
      options: EngineOptions(
        budgetBytes: 200 << 20, contextLength: Self.length, chunkLength: Self.length,
        threadCount: threads, keyValueType: type, kernelLevel: level))
  }

  private func store(_ directory: TemporaryDirectory) throws -> Store {
    try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions())
  }

  @Test(arguments: KeyValueType.allCases)
  func chunksAndThreadsNeverChangeABit(type: KeyValueType) throws {
    let directory = try TemporaryDirectory("long")
    let store = try store(directory)
    let whole = try engine(store, type)
    let want = try whole.logits(Self.tokens).logits.map(\.bitPattern)
    for chunk in [1, 15, 16, 17, 64, 255, 256, 257, 1001] {
      let got = try whole.logits(Self.tokens, chunkLength: chunk).logits.map(\.bitPattern)
      #expect(got == want, "chunks of \(chunk)")
    }
    for threads in [1, 3, 7] {
      let other = try engine(store, type, threads: threads)
      #expect(
        try other.logits(Self.tokens, chunkLength: 300).logits.map(\.bitPattern) == want,
        "\(threads) threads")
    }
  }

  /// A context cut back and continued equals one that never was longer.
  @Test(arguments: KeyValueType.allCases)
  func deadPositionsAreNeverRead(type: KeyValueType) throws {
    let directory = try TemporaryDirectory("rewind")
    let engine = try engine(try store(directory), type)
    let tokens = Self.tokens
    try engine.withCore { core throws(Failure) in
      func last(_ tokens: [Int32]) throws(Failure) -> [UInt32] {
        var bits: [UInt32] = []
        try core.process(tokens, chunkLength: 16) { _, rows throws(Failure) in
          bits = core.decoder.logits(row: rows - 1).map(\.bitPattern)
          return true
        }
        return bits
      }
      core.startOver()
      let want = try last(Array(tokens[0..<300]))
      for kept in [299, 290, 256, 255, 17, 16, 15, 1] {
        _ = try last(Array(tokens[700..<733]))
        core.rewind(to: kept)
        #expect(try last(Array(tokens[kept..<300])) == want, "cut back to \(kept)")
      }
    }
  }

  /// Eight bits change the logits, but only as much as eight bits should.
  ///
  /// The middle of all rows' errors: a row whose expert changed with the last bits is far off.
  @Test func eightBitsAreClose() throws {
    let directory = try TemporaryDirectory("eight")
    let none = try SchemeChoice(parsing: "none")
    let store = try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory,
      options: PackingOptions(experts: none, residents: none))
    let exact = try engine(store, .f32).logits(Self.tokens).logits
    let width = exact.count / Self.length
    func distance(_ type: KeyValueType) throws -> Double {
      let logits = try engine(store, type).logits(Self.tokens).logits
      let errors = (0..<Self.length).map { row in
        var (error, size) = (0.0, 0.0)
        for i in row * width..<(row + 1) * width {
          error += Double((logits[i] - exact[i]) * (logits[i] - exact[i]))
          size += Double(exact[i] * exact[i])
        }
        return (error / size).squareRoot()
      }
      return errors.sorted()[Self.length / 2]
    }
    let (half, eight) = (try distance(.f16), try distance(.q8))
    #expect(half > 0 && half < 1e-3, "\(half)")
    #expect(eight > half && eight < 1e-2, "\(eight)")
  }
}

@Suite struct AttentionSplitTests {
  @Test func everyQueryIsComputedOnce() {
    for rows in [1, 2, 16, 17, 255, 256] {
      for heads in [1, 2, 4, 5] {
        for group in [1, 3, 8, 70] {
          for threads in [1, 2, 3, 16, 64] {
            let split = AttentionSplit(
              rows: rows, heads: heads, group: group, threadCount: threads)
            var seen = [Int](repeating: 0, count: rows * heads * group)
            for item in 0..<split.count {
              let part = split[item]
              for row in part.rows {
                for query in part.queries { seen[(row * heads + part.head) * group + query] += 1 }
              }
            }
            #expect(seen.allSatisfy { $0 == 1 })
            #expect(split.count >= min(threads, rows / max(1, 64 / group) * heads * group))
          }
        }
      }
    }
  }
}
