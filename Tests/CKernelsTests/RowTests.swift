import CKernels
import Glibc
import Testing

/// Quantization, norms, rotation, softmax, SwiGLU and conversions against double precision.
@Suite struct RowTests {
  static let lengths = [1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 511, 1000]

  @Test func levelsDescribeThemselves() {
    #expect(fm_kernels_at(FM_PORTABLE) != nil)
    #expect(fm_kernels_at(fm_best_level()) != nil)
    #expect(fm_kernels_at(fm_level(rawValue: 77)) == nil)
    for level in Level.available {
      #expect(level.kernels.level == level.value)
      #expect(String(cString: level.kernels.name).isEmpty == false)
      #expect(level.rawValue <= fm_best_level().rawValue)
    }
  }

  @Test(arguments: Level.available)
  func quantization(level: Level) {
    var random = Random(1)
    for columns in Self.lengths {
      let rows = 5
      var source = random.normals(rows * columns, deviation: 3)
      for i in 0..<min(columns, 40) { source[columns + i] = 0 }
      for k in 0..<columns { source[2 * columns + k] = Float(k % 255 - 127) / 2 }  // ties
      let x = Guarded(source)
      let a = Activations(tokens: rows, columns: columns)
      var target = a.pointers()
      level.kernels.quantize(x.pointer, columns, columns, 0, 2, &target)
      #expect(a.values[2 * a.stride] == 99)  // rows outside the range stay
      level.kernels.quantize(x.pointer, columns, columns, 2, rows, &target)
      for row in 0..<rows {
        for group in 0..<a.stride / 32 {
          let inside = (32 * group..<32 * group + 32).map {
            $0 < columns ? source[row * columns + $0] : 0
          }
          let greatest = inside.map(abs).max()!
          let index = row * a.stride / 32 + group
          #expect(a.scales[index] == greatest / 127)
          let inverse = greatest == 0 ? 0 : 127 / greatest
          var sum: Int32 = 0
          for (k, value) in inside.enumerated() {
            let got = a.values[row * a.stride + 32 * group + k]
            #expect(Float(got) == (value * inverse).rounded(.toNearestOrEven))
            sum += Int32(got)
          }
          #expect(a.sums[index] == sum)
        }
      }
    }
  }

  /// A broken activation must reach the output as one, not as a plausible number.
  @Test(arguments: Level.available)
  func quantizationKeepsNaN(level: Level) {
    for bad in [Float.nan, .infinity, -.infinity] {
      for place in 0..<32 {
        var source = [Float](repeating: 1, count: 64)
        source[place] = bad
        let a = Activations(Guarded(source), tokens: 1, columns: 64, level: level)
        #expect(!a.scales[0].isFinite)
        #expect(a.scales[1] == 1 / Float(127))
      }
    }
    let tiny = Activations(
      Guarded([Float](repeating: .leastNonzeroMagnitude * 7, count: 32)), tokens: 1, columns: 32,
      level: level)
    #expect(tiny.scales[0] == 0 && tiny.sums[0] == 0)
  }

  @Test(arguments: Level.available)
  func rmsNorm(level: Level) {
    var random = Random(2)
    for n in Self.lengths {
      let x = Guarded(random.normals(n)), weight = Guarded(random.normals(n))
      let y = Guarded(n, filledWith: canary)
      level.kernels.rms_norm(x.pointer, weight.pointer, n, 1e-6, y.pointer)
      let mean = x.array.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(n)
      let scale = 1 / (mean + 1e-6).squareRoot()
      for i in 0..<n {
        let expected = Double(x[i]) * scale * Double(weight[i])
        #expect(abs(Double(y[i]) - expected) <= 5e-7 * abs(expected))
      }
      level.kernels.rms_norm(x.pointer, weight.pointer, n, 1e-6, x.pointer)
      #expect(bits(x.array) == bits(y.array))
    }
  }

  @Test(arguments: Level.available)
  func rope(level: Level) {
    var random = Random(3)
    for half in Self.lengths {
      let x = Guarded(random.normals(2 * half))
      let before = x.array
      let angles = random.normals(half)
      let cosine = Guarded(angles.map { cosf($0) }), sine = Guarded(angles.map { sinf($0) })
      level.kernels.rope(x.pointer, cosine.pointer, sine.pointer, 2 * half)
      for i in 0..<half {
        let (a, b) = (Double(before[i]), Double(before[i + half]))
        let (c, s) = (Double(cosine[i]), Double(sine[i]))
        let bound = 2e-7 * (abs(a) + abs(b))
        #expect(abs(Double(x[i]) - (a * c - b * s)) <= bound)
        #expect(abs(Double(x[i + half]) - (b * c + a * s)) <= bound)
      }
    }
  }

  @Test(arguments: Level.available)
  func softmax(level: Level) {
    var random = Random(4)
    for n in Self.lengths {
      for spread: Float in [0.1, 3, 60] {
        let x = Guarded(random.normals(n, deviation: spread))
        if n > 3 { x[2] = -.infinity }
        let source = x.array.map(Double.init)
        level.kernels.softmax(x.pointer, n)
        let greatest = source.max()!
        let exponentials = source.map { exp($0 - greatest) }
        let sum = exponentials.reduce(0, +)
        for (i, got) in x.array.enumerated() {
          // x - max is rounded to f32 before the exponential magnifies it.
          let expected = exponentials[i] / sum
          let relative = expected == 0 ? 0 : 1e-6 + 6e-8 * (greatest - source[i])
          #expect(abs(Double(got) - expected) <= relative * expected + 2e-45)
        }
      }
    }
  }

  /// e^x over its whole range, seen through softmax of (0, x): the first weight is 1 / (1 + e^x)
  /// and their ratio is e^x; and through sigmoid at both ends.
  @Test(arguments: Level.available)
  func exponentialReachesItsEnds(level: Level) {
    var worst = 0.0
    for step in 0...8300 {
      let value = -Float(step) / 100
      let x = Guarded([Float(0), value])
      level.kernels.softmax(x.pointer, 2)
      let expected = exp(Double(value))
      worst = max(worst, abs(Double(x[1]) / Double(x[0]) - expected) / expected)
    }
    #expect(worst < 3e-7, "\(worst)")
    for value: Float in [-104, -200, -1e30, -.greatestFiniteMagnitude, -.infinity] {
      let x = Guarded([Float(0), value])
      level.kernels.softmax(x.pointer, 2)
      #expect(x[0] == 1 && x[1] <= .leastNonzeroMagnitude * 7)
    }
  }

  @Test(arguments: Level.available)
  func swiglu(level: Level) {
    var random = Random(5)
    for inner in Self.lengths {
      let tokens = 3
      let ld = (inner + 15) / 16 * 32
      let pairs = Guarded(random.normals(tokens * ld, deviation: 8))
      if inner > 5 {
        for (i, value) in [Float(-100), 100, -88.5, -1000, 1e30].enumerated() { pairs[i] = value }
      }
      let ldh = inner + 3
      let h = Guarded(tokens * ldh, filledWith: canary)
      level.kernels.swiglu(pairs.pointer, ld, tokens, inner, h.pointer, ldh)
      for t in 0..<tokens {
        for i in 0..<inner {
          let at = t * ld + i / 16 * 32 + i % 16
          let gate = Double(pairs[at]), up = Double(pairs[at + 16])
          let expected = gate / (1 + exp(-gate)) * up
          #expect(abs(Double(h[t * ldh + i]) - expected) <= 1e-6 * abs(expected) + 1e-36)
        }
        for i in inner..<ldh { #expect(h[t * ldh + i].bitPattern == canary.bitPattern) }
      }
    }
  }

  @Test(arguments: Level.available)
  func multiplyAdd(level: Level) {
    var random = Random(6)
    for n in Self.lengths {
      let x = Guarded(random.normals(n)), y = Guarded(random.normals(n))
      let before = y.array
      level.kernels.multiply_add(0.37, x.pointer, n, y.pointer)
      for i in 0..<n {
        let fused = before[i].addingProduct(0.37, x[i])
        #expect(y[i] == (level == .portable ? before[i] + 0.37 * x[i] : fused))
      }
    }
  }

  @Test(arguments: Level.available)
  func toHalf(level: Level) {
    var random = Random(7)
    var values = (0..<60000).map { _ in
      Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
    }
    values += (0..<5000).map { _ in random.normal() * 3e-6 }
    for word in UInt16(0)..<0x7C00 {  // every midpoint between two halves
      let a = Float(Float16(bitPattern: word))
      let b = word == 0x7BFF ? 65536 : Float(Float16(bitPattern: word + 1))
      values.append((a + b) / 2)
    }
    values += [.infinity, -.infinity, 65519.996, 65520, -0]
    values.removeAll { $0.isNaN }
    let x = Guarded(values)
    let y = Guarded(values.count, filledWith: UInt16(0xDEAD))
    level.kernels.to_f16(x.pointer, values.count, y.pointer)
    for (value, got) in zip(values, y.array) {
      #expect(got == Float16(value).bitPattern, "\(value)")
    }
    let bad = Guarded([Float.nan]), half = Guarded([UInt16(0)])
    level.kernels.to_f16(bad.pointer, 1, half.pointer)
    #expect(Float16(bitPattern: half[0]).isNaN)
  }
}
