import Glibc
import Support

/// Cosines and sines of a run's positions for one kind of rotation: the same for all heads and, in
/// a step, for all layers that rotate alike.
struct RotationTable {
  /// Where the numbers are kept: [a][pairs].
  struct Rows {
    let cosines: UnsafeMutablePointer<Float>
    let sines: UnsafeMutablePointer<Float>

    init(_ rope: RotaryEmbedding, rows: Int, cutter: inout ArenaCutter) {
      cosines = cutter.take(Float.self, count: rows * (rope.dimension / 2))
      sines = cutter.take(Float.self, count: rows * (rope.dimension / 2))
    }
  }

  let cosines: UnsafeMutablePointer<Float>
  let sines: UnsafeMutablePointer<Float>
  /// Dimensions i and i + pairs are rotated together, or 2 i and 2 i + 1.
  let pairing: RotaryEmbedding.Pairing
  let pairCount: Int
  private let frequencies: [Float]
  private let factor: Float
  private var start = -1
  private var count = 0

  init(_ rope: RotaryEmbedding, contextLength: Int, rows: Rows) {
    pairing = rope.pairing
    frequencies = rope.inverseFrequencies(contextLength: contextLength)
    pairCount = frequencies.count
    factor = rope.attentionFactor(contextLength: contextLength)
    cosines = rows.cosines
    sines = rows.sines
  }

  /// Makes the table that of positions `start` to `start + rows`.
  mutating func prepare(start: Int, rows: Int, pool: WorkerPool) {
    guard self.start != start || count != rows else { return }
    self.start = start
    count = rows
    let table = self
    if rows == 1 { return table.fill(0..<1) }
    pool.run { thread in table.fill(pool.share(of: rows, for: thread)) }
  }

  private func fill(_ range: Range<Int>) {
    for row in range {
      for pair in 0..<pairCount {
        let angle = Float(start + row) * frequencies[pair]
        cosines[row * pairCount + pair] = cosf(angle) * factor
        sines[row * pairCount + pair] = sinf(angle) * factor
      }
    }
  }
}

/// A table's numbers without its array, for loops over heads.
struct Rotation {
  let cosines: UnsafeMutablePointer<Float>
  let sines: UnsafeMutablePointer<Float>
  let pairCount: Int
  let isPaired: Bool

  init(_ table: RotationTable) {
    cosines = table.cosines
    sines = table.sines
    pairCount = table.pairCount
    isPaired = table.pairing == .neighbours
  }

  /// Rotates the first dimensions of a head of row `row`.
  @inline(__always)
  func apply(_ kernels: Kernels, _ head: UnsafeMutablePointer<Float>, row: Int) {
    let (cosine, sine) = (cosines + row * pairCount, sines + row * pairCount)
    if isPaired {
      kernels.table.pointee.rope_pairs(head, cosine, sine, 2 * pairCount)
    } else {
      kernels.table.pointee.rope(head, cosine, sine, 2 * pairCount)
    }
  }
}

extension ModelConfiguration {
  /// Every kind of rotation some layer uses, once.
  var rotations: [RotaryEmbedding] {
    (attentions.map(\.rope) + latentAttentions.map(\.rope)).reduce(into: []) {
      if !$0.contains($1) { $0.append($1) }
    }
  }
}
