import CKernels
import Glibc
import Testing

/// Windows, sinks and rings of attention against double precision and against each other.
@Suite struct WindowTests {
  /// Keys and values in a plain cache and in a ring, positions stored in order.
  struct Caches {
    let dimension: Int
    let keys: [Float], values: [Float]
    let plain: (keys: Guarded<UInt8>, values: Guarded<UInt8>)
    let ring: (keys: Guarded<UInt8>, values: Guarded<UInt8>)
    let capacity: Int
    let level: Level

    /// - Parameter stored: positions the ring holds the end of.
    init(
      positions: Int, dimension: Int, capacity: Int, stored: Int, level: Level,
      random: inout Random
    ) {
      self.dimension = dimension
      self.capacity = capacity
      self.level = level
      let block = fm_cache_block_bytes(FM_CACHE_F32, dimension)
      func memory(_ positions: Int) -> Guarded<UInt8> {
        Guarded((positions + 15) / 16 * block, filledWith: 0xFF)
      }
      plain = (memory(positions), memory(positions))
      ring = (memory(capacity), memory(capacity))
      keys = random.normals(positions * dimension)
      values = random.normals(positions * dimension)
      for position in 0..<positions {
        let range = position * dimension..<(position + 1) * dimension
        let (key, value) = (Guarded(Array(keys[range])), Guarded(Array(values[range])))
        var whole = head(isRing: false)
        level.kernels.cache_store(&whole, position, key.pointer, value.pointer)
        guard position < stored else { continue }
        var circle = head(isRing: true)
        level.kernels.cache_store(&circle, position, key.pointer, value.pointer)
      }
    }

    func head(isRing: Bool) -> fm_attention_cache {
      let memory = isRing ? ring : plain
      return fm_attention_cache(
        keys: memory.keys.pointer, values: memory.values.pointer, type: FM_CACHE_F32,
        head_dim: dimension, positions: isRing ? capacity : 0)
    }
  }

  static func attend(
    _ caches: Caches, isRing: Bool, queries: [Float], rows: Int, heads: Int, position: Int,
    window: Int, sinks: [Float]?, together: Int? = nil
  ) -> [Float] {
    let dimension = caches.dimension
    let stride = heads * dimension
    let input = Guarded(queries)
    let out = Guarded(rows * stride, filledWith: canary)
    let sinkMemory = sinks.map { Guarded($0) }
    let workspace = Guarded<UInt64>(fm_attention_workspace_bytes(dimension) / 8, filledWith: .max)
    var head = caches.head(isRing: isRing)
    for row in Swift.stride(from: 0, to: rows, by: together ?? rows) {
      var part = fm_attention_rows(
        queries: input.pointer + row * stride, out: out.pointer + row * stride,
        query_stride: stride, out_stride: stride, rows: min(together ?? rows, rows - row),
        heads: heads, position: position + row, scale: 0.3, window: window,
        sinks: sinkMemory.map { UnsafePointer($0.pointer) })
      caches.level.kernels.attention(&head, &part, workspace.pointer)
    }
    return out.array
  }

  static func reference(
    _ caches: Caches, query: ArraySlice<Float>, sees: Range<Int>, sink: Float?
  ) -> [Double] {
    let dimension = caches.dimension
    let query = Array(query)
    var scores = sees.map { p in
      (0..<dimension).reduce(0.0) {
        $0 + Double(query[$1]) * Double(caches.keys[p * dimension + $1])
      } * 0.3
    }
    if let sink { scores.append(Double(sink)) }
    let greatest = scores.max() ?? 0
    let weights = scores.map { exp($0 - greatest) }
    let total = weights.reduce(0, +)
    return (0..<dimension).map { d in
      zip(sees, weights).reduce(0.0) {
        $0 + $1.1 / total * Double(caches.values[$1.0 * dimension + d])
      }
    }
  }

  @Test(arguments: Level.available) func matchesDoublePrecision(level: Level) {
    var random = Random(40)
    for (positions, window) in [
      (1, 1), (40, 1), (40, 16), (64, 64), (65, 64), (200, 63), (200, 65), (200, 500), (300, 128),
      (331, 20),
    ] {
      for dimension in [6, 32, 80] {
        let (rows, heads) = (random.int(1...min(90, positions)), random.int(1...9))
        let caches = Caches(
          positions: positions, dimension: dimension, capacity: 64, stored: 0, level: level,
          random: &random)
        let queries = random.normals(rows * heads * dimension)
        let sinks = random.int(0...2) == 0 ? nil : random.normals(heads, deviation: 2)
        let out = Self.attend(
          caches, isRing: false, queries: queries, rows: rows, heads: heads,
          position: positions - rows, window: window, sinks: sinks)
        for line in 0..<rows * heads {
          let end = positions - rows + line / heads + 1
          let expected = Self.reference(
            caches, query: queries[line * dimension..<(line + 1) * dimension],
            sees: max(0, end - window)..<end, sink: sinks?[line % heads])
          let worst = (0..<dimension).map {
            abs(Double(out[line * dimension + $0]) - expected[$0])
          }.max()
          #expect((worst ?? 1) <= 5e-6, "\(positions) positions, window \(window), line \(line)")
        }
      }
    }
  }

  /// However rows are cut into calls, and whether positions lie in a ring: the same bits.
  @Test(arguments: Level.available) func cutsAndRingsDoNotShow(level: Level) {
    var random = Random(41)
    for (window, capacity) in [(16, 64), (16, 128), (20, 64), (64, 128), (100, 192)] {
      for _ in 0..<6 {
        let rows = random.int(1...capacity - window)
        let positions = random.int(max(rows, capacity)...capacity + 300)
        let (heads, dimension) = (random.int(1...5), [6, 32, 48][random.int(0...2)])
        let caches = Caches(
          positions: positions, dimension: dimension, capacity: capacity, stored: positions,
          level: level, random: &random)
        let queries = random.normals(rows * heads * dimension)
        let sinks = random.normals(heads)
        func run(isRing: Bool, together: Int?) -> [UInt32] {
          bits(
            Self.attend(
              caches, isRing: isRing, queries: queries, rows: rows, heads: heads,
              position: positions - rows, window: window, sinks: sinks, together: together))
        }
        let want = run(isRing: false, together: 1)
        #expect(run(isRing: false, together: nil) == want)
        #expect(run(isRing: true, together: 1) == want)
        #expect(run(isRing: true, together: nil) == want)
        #expect(run(isRing: true, together: 7) == want)
      }
    }
  }

  /// What a window hides may be anything, NaN included.
  @Test(arguments: Level.available) func hiddenPositionsAreNoOperands(level: Level) {
    var random = Random(42)
    let caches = Caches(
      positions: 200, dimension: 32, capacity: 64, stored: 0, level: level, random: &random)
    let queries = random.normals(3 * 32)
    func run() -> [UInt32] {
      bits(
        Self.attend(
          caches, isRing: false, queries: queries, rows: 1, heads: 3, position: 199, window: 70,
          sinks: nil))
    }
    let want = run()
    let bad = Guarded([Float](repeating: .nan, count: 32))
    var head = caches.head(isRing: false)
    for position in 0..<130 {
      level.kernels.cache_store(&head, position, bad.pointer, bad.pointer)
    }
    #expect(run() == want)
  }
}
