import CKernels
import Glibc
import Testing

@Suite struct AttentionTests {
  static let types: [UInt32] = [0, 1, 2]

  /// The last rows of a context, all heads of a group, as one call or as many.
  struct Queries {
    let rows: Int, heads: Int, dimension: Int, stride: Int, position: Int
    let values: Guarded<Float>
    let scale: Float

    init(
      rows: Int, heads: Int, dimension: Int, position: Int, deviation: Float = 1.5,
      random: inout Random
    ) {
      self.rows = rows
      self.heads = heads
      self.dimension = dimension
      self.position = position
      stride = heads * dimension + 5
      values = Guarded(
        random.normals((rows - 1) * stride + heads * dimension, deviation: deviation))
      scale = 1 / Float(dimension).squareRoot()
    }

    func query(_ row: Int, _ head: Int) -> [Float] {
      let start = row * stride + head * dimension
      return (0..<dimension).map { values[start + $0] }
    }

    /// Calls with at most `together` rows and `headsTogether` heads.
    func run(
      _ level: Level, _ cache: AttentionCache, together: Int? = nil, headsTogether: Int? = nil
    ) -> [Float] {
      let out = Guarded((rows - 1) * stride + heads * dimension, filledWith: canary)
      // A workspace full of NaN: nothing in it may be taken for a number.
      let workspace = Guarded<UInt64>(
        fm_attention_workspace_bytes(dimension) / 8, filledWith: .max)
      var head = cache.head
      for row in Swift.stride(from: 0, to: rows, by: together ?? rows) {
        for first in Swift.stride(from: 0, to: heads, by: headsTogether ?? heads) {
          let offset = row * stride + first * dimension
          var part = fm_attention_rows(
            queries: values.pointer + offset, out: out.pointer + offset, query_stride: stride,
            out_stride: stride, rows: min(together ?? rows, rows - row),
            heads: min(headsTogether ?? heads, heads - first), position: position + row,
            scale: scale, window: 0, sinks: nil)
          level.kernels.attention(&head, &part, workspace.pointer)
        }
      }
      return out.array
    }
  }

  static func reference(
    query q: [Float], cache: AttentionCache, positions: Int, scale: Float
  ) -> [Double] {
    let dimension = cache.dimension
    let scores = (0..<positions).map { p in
      (0..<dimension).reduce(0.0) {
        $0 + Double(q[$1]) * Double(cache.keys[p * dimension + $1])
      } * Double(scale)
    }
    let greatest = (scores.max() ?? 0)
    let weights = scores.map { exp($0 - greatest) }
    let total = weights.reduce(0, +)
    return (0..<dimension).map { d in
      (0..<positions).reduce(0.0) {
        $0 + weights[$1] / total * Double(cache.values[$1 * dimension + d])
      }
    }
  }

  @Test(arguments: Level.available, types)
  func matchesDoublePrecision(level: Level, type: UInt32) {
    var random = Random(20)
    for dimension in [2, 6, 16, 30, 32, 48, 64, 80, 128, 130, 256, 512] {
      for positions in [1, 2, 15, 16, 17, 63, 64, 65, 200, 255, 256, 257, 1100] {
        if positions > 300, dimension > 128 { continue }
        let cache = AttentionCache(
          type: type, positions: positions, dimension: dimension, level: level, random: &random)
        let rows = random.int(1...min(4, positions))
        let queries = Queries(
          rows: rows, heads: random.int(1...11), dimension: dimension,
          position: positions - rows, random: &random)
        let out = queries.run(level, cache)
        var seen = 0
        for row in 0..<rows {
          for head in 0..<queries.heads {
            let expected = Self.reference(
              query: queries.query(row, head), cache: cache,
              positions: positions - rows + row + 1, scale: queries.scale)
            let start = row * queries.stride + head * dimension
            let worst = (0..<dimension).map { abs(Double(out[start + $0]) - expected[$0]) }.max()!
            #expect(worst <= 5e-6, "dim \(dimension) positions \(positions) head \(head)")
            seen += dimension
          }
        }
        #expect(out.filter { $0.bitPattern == canary.bitPattern }.count == out.count - seen)
      }
    }
  }

  /// One head of one row alone, or any number of rows and heads together: the same bits.
  @Test(arguments: Level.available, types)
  func rowsAndHeadsDoNotInfluenceEachOther(level: Level, type: UInt32) {
    var random = Random(21)
    for dimension in [6, 32, 64, 80, 128, 256] {
      for heads in [1, 2, 3, 4, 5, 7, 8, 13, 70] {
        let positions = [1, 15, 16, 17, 64, 130, 255, 256, 257, 1001][random.int(0...9)]
        let rows = min(positions, random.int(1...80))
        if rows * heads * positions * dimension > 60_000_000, level == .portable { continue }
        let cache = AttentionCache(
          type: type, positions: positions, dimension: dimension, level: level, random: &random)
        let queries = Queries(
          rows: rows, heads: heads, dimension: dimension, position: positions - rows,
          deviation: 2, random: &random)
        let expected = bits(queries.run(level, cache, together: 1, headsTogether: 1))
        for (together, headsTogether) in [
          (nil, nil), (1, nil), (nil, 1), (random.int(1...rows), random.int(1...heads)),
        ] as [(Int?, Int?)] {
          let got = queries.run(level, cache, together: together, headsTogether: headsTogether)
          #expect(
            bits(got) == expected,
            "\(rows) rows of \(heads) heads of \(dimension) at \(positions)")
        }
      }
    }
  }

  /// Positions past a row exist in a real cache, of later rows or of a context that was cut back;
  /// they must not be seen.
  @Test(arguments: Level.available, types)
  func laterPositionsAreInvisible(level: Level, type: UInt32) {
    var random = Random(22)
    let (dimension, held) = (32, 160)
    for positions in [1, 15, 16, 63, 64, 65, 127, 159] {
      let cache = AttentionCache(
        type: type, positions: held, dimension: dimension, level: level, random: &random)
      let queries = Queries(
        rows: 1, heads: 3, dimension: dimension, position: positions - 1, random: &random)
      let expected = bits(queries.run(level, cache))
      let rows = Queries(
        rows: min(9, positions), heads: 3, dimension: dimension,
        position: positions - min(9, positions), random: &random)
      let many = bits(rows.run(level, cache))
      for poison in [Float.nan, .infinity, 1e30] {
        let bad = [Float](repeating: poison, count: dimension)
        for position in positions..<held { cache.store(position, key: bad, value: bad) }
        #expect(bits(queries.run(level, cache)) == expected)
        #expect(bits(rows.run(level, cache)) == many)
      }
    }
  }

  /// Large scores: the running maximum rises over many blocks without overflow.
  @Test(arguments: Level.available)
  func extremeScores(level: Level) {
    let (dimension, positions) = (16, 300)
    var random = Random(23)
    let cache = AttentionCache(
      type: 1, positions: positions, dimension: dimension, level: level, random: &random)
    for position in 0..<positions {
      cache.store(
        position, key: [Float](repeating: Float(position) * 10, count: dimension),
        value: [Float](repeating: Float(position), count: dimension))
    }
    for sign: Float in [1, -1] {
      let queries = Queries(
        rows: 1, heads: 1, dimension: dimension, position: positions - 1, random: &random)
      for i in 0..<dimension { queries.values[i] = sign * 400 }
      #expect(queries.run(level, cache).allSatisfy { $0 == (sign > 0 ? 299 : 0) })
    }
  }

  /// A broken number among the seen ones reaches the output; it never looks plausible.
  @Test(arguments: Level.available, types)
  func brokenNumbersStayBroken(level: Level, type: UInt32) {
    var random = Random(24)
    let (dimension, positions) = (48, 70)
    for poison in [Float.nan, .infinity, -.infinity] {
      for inKey in [true, false] {
        let cache = AttentionCache(
          type: type, positions: positions, dimension: dimension, level: level, random: &random)
        var key = random.normals(dimension), value = random.normals(dimension)
        if inKey { key[33] = poison } else { value[33] = poison }
        cache.store(17, key: key, value: value)
        let queries = Queries(
          rows: 1, heads: 1, dimension: dimension, position: positions - 1, random: &random)
        queries.values[33] = 1
        let out = queries.run(level, cache)
        // An infinite key takes all weight or none, which is what arithmetic says.
        if inKey, poison.isInfinite, type != 2 { continue }
        #expect(!out[33].isFinite, "\(poison) in \(inKey ? "key" : "value")")
      }
    }
  }
}
