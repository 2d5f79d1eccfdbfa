import CKernels
import Glibc
import Testing

@Suite struct AttentionTests {
  /// A cache of random keys and values, and the floats it stands for.
  struct Cache {
    let type: fm_cache_type
    let keys: [Float], values: [Float]
    let keyHalves: Guarded<UInt16>, valueHalves: Guarded<UInt16>
    let keyFloats: Guarded<Float>, valueFloats: Guarded<Float>

    init(type: fm_cache_type, positions: Int, headDimension: Int, random: inout Random) {
      let count = positions * headDimension
      let keyBits = random.normals(count).map { Float16($0).bitPattern }
      let valueBits = random.normals(count).map { Float16($0).bitPattern }
      self.type = type
      keys = keyBits.map { Float(Float16(bitPattern: $0)) }
      values = valueBits.map { Float(Float16(bitPattern: $0)) }
      keyHalves = Guarded(keyBits)
      valueHalves = Guarded(valueBits)
      keyFloats = Guarded(keys)
      valueFloats = Guarded(values)
    }

    func span(positions: Int, headDimension: Int, scale: Float) -> fm_attention_span {
      let half = type == FM_CACHE_F16
      return fm_attention_span(
        keys: half ? UnsafeRawPointer(keyHalves.pointer) : UnsafeRawPointer(keyFloats.pointer),
        values: half
          ? UnsafeRawPointer(valueHalves.pointer) : UnsafeRawPointer(valueFloats.pointer),
        type: type, head_dim: headDimension, positions: positions, scale: scale)
    }
  }

  static func reference(
    query: ArraySlice<Float>, cache: Cache, positions: Int, headDimension: Int, scale: Float
  ) -> [Double] {
    let q = Array(query)
    let scores = (0..<positions).map { p in
      (0..<headDimension).reduce(0.0) {
        $0 + Double(q[$1]) * Double(cache.keys[p * headDimension + $1])
      } * Double(scale)
    }
    let greatest = scores.max()!
    let weights = scores.map { exp($0 - greatest) }
    let total = weights.reduce(0, +)
    return (0..<headDimension).map { d in
      (0..<positions).reduce(0.0) {
        $0 + weights[$1] / total * Double(cache.values[$1 * headDimension + d])
      }
    }
  }

  @Test(arguments: Level.available, [0, 1] as [UInt32])
  func matchesDoublePrecision(level: Level, type: UInt32) {
    var random = Random(20)
    for headDimension in [2, 6, 16, 30, 64, 80, 128, 130, 256, 512] {
      for positions in [1, 2, 5, 63, 64, 65, 200] {
        let heads = random.int(1...11)
        let cache = Cache(
          type: fm_cache_type(rawValue: type), positions: positions, headDimension: headDimension,
          random: &random)
        let ldq = headDimension + 4, ldo = headDimension + 3
        let q = Guarded(random.normals(heads * ldq, deviation: 1.5))
        let out = Guarded(heads * ldo, filledWith: canary)
        let scale = 1 / Float(headDimension).squareRoot()
        var span = cache.span(positions: positions, headDimension: headDimension, scale: scale)
        level.kernels.attention(q.pointer, heads, ldq, &span, out.pointer, ldo)
        for head in 0..<heads {
          let expected = Self.reference(
            query: q.array[head * ldq..<head * ldq + headDimension], cache: cache,
            positions: positions, headDimension: headDimension, scale: scale)
          for d in 0..<ldo {
            let got = out[head * ldo + d]
            if d < headDimension {
              #expect(
                abs(Double(got) - expected[d]) <= 2e-6,
                "dim \(headDimension) positions \(positions) head \(head)")
            } else {
              #expect(got.bitPattern == canary.bitPattern)
            }
          }
        }
      }
    }
  }

  /// One head alone, or any number of heads together: the same bits.
  @Test(arguments: Level.available, [0, 1] as [UInt32])
  func headsDoNotInfluenceEachOther(level: Level, type: UInt32) {
    var random = Random(21)
    for headDimension in [6, 64, 80, 128] {
      for positions in [1, 3, 64, 130, 333] {
        let heads = 13
        let cache = Cache(
          type: fm_cache_type(rawValue: type), positions: positions, headDimension: headDimension,
          random: &random)
        let q = Guarded(random.normals(heads * headDimension, deviation: 2))
        var span = cache.span(positions: positions, headDimension: headDimension, scale: 0.3)
        var expected: [UInt32] = []
        for head in 0..<heads {
          let out = Guarded(headDimension, filledWith: canary)
          level.kernels.attention(
            q.pointer + head * headDimension, 1, headDimension, &span, out.pointer, headDimension)
          expected += bits(out.array)
        }
        for together in 2...heads {
          let out = Guarded(heads * headDimension, filledWith: canary)
          var head = 0
          while head < heads {
            let some = min(together, heads - head)
            level.kernels.attention(
              q.pointer + head * headDimension, some, headDimension, &span,
              out.pointer + head * headDimension, headDimension)
            head += some
          }
          #expect(bits(out.array) == expected, "\(together) heads of \(headDimension)")
        }
      }
    }
  }

  /// Positions past the span's end exist in a real cache; they must not be seen.
  @Test(arguments: Level.available)
  func laterPositionsAreInvisible(level: Level) {
    var random = Random(22)
    let headDimension = 32
    let cache = Cache(
      type: FM_CACHE_F32, positions: 100, headDimension: headDimension, random: &random)
    let q = Guarded(random.normals(headDimension))
    for positions in [1, 63, 64, 65, 99] {
      var results: [[UInt32]] = []
      for poison in [Float(0), .nan] {
        for i in positions * headDimension..<100 * headDimension {
          cache.keyFloats[i] = poison
          cache.valueFloats[i] = poison
        }
        let out = Guarded(headDimension, filledWith: canary)
        var span = cache.span(positions: positions, headDimension: headDimension, scale: 1)
        level.kernels.attention(
          q.pointer, 1, headDimension, &span, out.pointer, headDimension)
        #expect(out.array.allSatisfy { $0.isFinite })
        results.append(bits(out.array))
        for i in positions * headDimension..<100 * headDimension {
          cache.keyFloats[i] = cache.keys[i]
          cache.valueFloats[i] = cache.values[i]
        }
      }
      #expect(results[0] == results[1])
    }
  }

  /// Large scores: the running maximum rises over many blocks without overflow.
  @Test(arguments: Level.available)
  func extremeScores(level: Level) {
    let headDimension = 16, positions = 300
    let keys = Guarded((0..<positions * headDimension).map { Float($0 / headDimension) * 10 })
    let values = Guarded((0..<positions * headDimension).map { Float($0 / headDimension) })
    for sign: Float in [1, -1] {
      let q = Guarded([Float](repeating: sign * 100, count: headDimension))
      let out = Guarded(headDimension, filledWith: canary)
      var span = fm_attention_span(
        keys: keys.pointer, values: values.pointer, type: FM_CACHE_F32, head_dim: headDimension,
        positions: positions, scale: 1)
      level.kernels.attention(q.pointer, 1, headDimension, &span, out.pointer, headDimension)
      #expect(out.array.allSatisfy { $0 == (sign > 0 ? 299 : 0) })
    }
  }
}
