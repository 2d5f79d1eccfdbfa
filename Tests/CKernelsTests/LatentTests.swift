import CKernels
import Glibc
import Testing

/// Attention over a compressed cache against double precision.
@Suite struct LatentTests {
  static let types: [UInt32] = [0, 1, 2]

  /// A compressed cache and the floats it stands for.
  final class Cache {
    let latent: Int, rope: Int, positions: Int
    let type: UInt32
    private let bytes: Guarded<UInt8>
    /// [position][width] as stored
    private(set) var values: [[Float]] = []

    init(
      type: UInt32, positions: Int, latent: Int, rope: Int, level: Level, random: inout Random
    ) {
      (self.type, self.positions, self.latent, self.rope) = (type, positions, latent, rope)
      let width = fm_latent_width(latent, rope), padded = fm_latent_padded(latent)
      let blockBytes = fm_cache_block_bytes(fm_cache_type(rawValue: type), width)
      bytes = Guarded((positions + 15) / 16 * blockBytes, filledWith: 0xFF)
      for position in 0..<positions {
        var row = [Float](repeating: 0, count: width)
        for d in 0..<latent { row[d] = random.normal() }
        for d in 0..<rope { row[padded + d] = random.normal() }
        store(position, row, level)
        values.append((0..<width).map { read(position, $0, width, blockBytes) })
        let step: Float = type == 1 ? 0 : type == 0 ? 0.001 : 0.03
        for (got, want) in zip(values[position], row) { #expect(abs(got - want) <= step * 2) }
      }
    }

    var cache: fm_latent_cache {
      fm_latent_cache(
        data: bytes.pointer, type: fm_cache_type(rawValue: type), latent: latent, rope: rope)
    }

    func store(_ position: Int, _ row: [Float], _ level: Level) {
      var cache = cache
      let row = Guarded(row)
      level.kernels.latent_store(&cache, position, row.pointer)
    }

    private func read(_ position: Int, _ d: Int, _ width: Int, _ blockBytes: Int) -> Float {
      let block = UnsafeRawPointer(bytes.pointer) + position / 16 * blockBytes
      let element = position % 16 * width + d
      func half(_ at: Int) -> Float {
        Float(Float16(bitPattern: block.loadUnaligned(fromByteOffset: at, as: UInt16.self)))
      }
      switch type {
      case 0: return half(element * 2)
      case 1: return block.loadUnaligned(fromByteOffset: element * 4, as: Float.self)
      default:
        let code = block.loadUnaligned(fromByteOffset: width + element, as: Int8.self)
        return Float(code) * half((d / 32 * 16 + position % 16) * 2)
      }
    }
  }

  struct Queries {
    let rows: Int, heads: Int, position: Int
    let values: [Float]
    let scale: Float

    init(rows: Int, heads: Int, cache: Cache, random: inout Random) {
      self.rows = rows
      self.heads = heads
      position = cache.positions - rows
      let width = fm_latent_width(cache.latent, cache.rope)
      let padded = fm_latent_padded(cache.latent)
      values = (0..<rows * heads).flatMap { _ in
        (0..<width).map {
          $0 < cache.latent || ($0 >= padded && $0 < padded + cache.rope) ? random.normal() : 0
        }
      }
      scale = 1.5 / Float(cache.latent + cache.rope).squareRoot()
    }

    /// [rows][heads][padded latent]
    func run(_ level: Level, _ cache: Cache, together: Int, headsTogether: Int) -> [Float] {
      let width = fm_latent_width(cache.latent, cache.rope)
      let padded = fm_latent_padded(cache.latent)
      var out = [Float](repeating: .nan, count: rows * heads * padded)
      var source = cache.cache
      for row in Swift.stride(from: 0, to: rows, by: together) {
        for head in Swift.stride(from: 0, to: heads, by: headsTogether) {
          let count = min(together, rows - row), wide = min(headsTogether, heads - head)
          var lines: [Float] = []
          for r in row..<row + count {
            lines += values[(r * heads + head) * width..<(r * heads + head + wide) * width]
          }
          let queries = Guarded(lines)
          let part = Guarded(count * wide * padded, filledWith: Float.nan)
          let workspace = Guarded<UInt64>(
            fm_latent_workspace_bytes(count * wide) / 8, filledWith: .max)
          var call = fm_latent_rows(
            queries: queries.pointer, out: part.pointer, rows: count, heads: wide,
            position: position + row, scale: scale)
          level.kernels.latent_attention(&source, &call, workspace.pointer)
          for r in 0..<count {
            for h in 0..<wide {
              for d in 0..<padded {
                out[((row + r) * heads + head + h) * padded + d] = part[(r * wide + h) * padded + d]
              }
            }
          }
        }
      }
      return out
    }
  }

  @Test(arguments: Level.available, types)
  func matchesDoublePrecision(level: Level, type: UInt32) {
    var random = Random(50)
    for (latent, rope) in [(1, 2), (16, 8), (32, 16), (48, 16), (100, 30), (512, 64)] {
      for positions in [1, 3, 16, 63, 64, 65, 200, 257] {
        if positions > 100, latent > 200 { continue }
        let cache = Cache(
          type: type, positions: positions, latent: latent, rope: rope, level: level,
          random: &random)
        let queries = Queries(
          rows: random.int(1...min(5, positions)), heads: random.int(1...7), cache: cache,
          random: &random)
        let out = queries.run(level, cache, together: queries.rows, headsTogether: queries.heads)
        let width = fm_latent_width(latent, rope), padded = fm_latent_padded(latent)
        for line in 0..<queries.rows * queries.heads {
          let seen = queries.position + line / queries.heads + 1
          let query = queries.values[line * width..<(line + 1) * width].map(Double.init)
          let scores = (0..<seen).map { p in
            zip(query, cache.values[p]).reduce(0.0) { $0 + $1.0 * Double($1.1) }
              * Double(queries.scale)
          }
          let greatest = scores.max() ?? 0
          let weights = scores.map { exp($0 - greatest) }
          let total = weights.reduce(0, +)
          for d in 0..<padded {
            let expected = (0..<seen).reduce(0.0) {
              $0 + weights[$1] / total * Double(cache.values[$1][d])
            }
            #expect(abs(Double(out[line * padded + d]) - expected) <= 2e-5)
          }
        }
      }
    }
  }

  /// Any number of rows and heads together, and NaN beyond what a row sees: the same bits.
  @Test(arguments: Level.available, types)
  func linesDoNotInfluenceEachOther(level: Level, type: UInt32) {
    var random = Random(51)
    for (latent, rope) in [(32, 16), (72, 24), (512, 64)] {
      for positions in [5, 64, 65, 133, 300] {
        if positions > 200, latent > 200, level == .portable { continue }
        let cache = Cache(
          type: type, positions: positions, latent: latent, rope: rope, level: level,
          random: &random)
        let queries = Queries(
          rows: min(positions, random.int(1...70)), heads: random.int(1...9), cache: cache,
          random: &random)
        let apart = bits(queries.run(level, cache, together: 1, headsTogether: 1))
        for (together, heads) in [
          (queries.rows, queries.heads), (1, queries.heads), (queries.rows, 1), (3, 2),
        ] {
          let got = queries.run(level, cache, together: together, headsTogether: heads)
          #expect(bits(got) == apart, "\(together) rows and \(heads) heads at \(positions)")
        }
        // The last row alone may see the last position.
        let poison = [Float](repeating: .nan, count: fm_latent_width(latent, rope))
        cache.store(positions - 1, poison, level)
        let spoilt = bits(
          queries.run(level, cache, together: queries.rows, headsTogether: queries.heads))
        let kept = (queries.rows - 1) * queries.heads * fm_latent_padded(latent)
        #expect(spoilt[..<kept] == apart[..<kept])
        #expect(spoilt[kept...].contains { Float(bitPattern: $0).isNaN })
      }
    }
  }
}
