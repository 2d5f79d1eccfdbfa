import CKernels
import Glibc
import Testing

/// LayerNorm, rotation of neighbours, sigmoid and the clamped SwiGLU against double precision.
@Suite struct FamilyRowTests {
  @Test(arguments: Level.available) func layerNorm(level: Level) {
    var random = Random(50)
    for count in RowTests.lengths where count > 1 {
      // A mean far from zero: one that is not taken off shows.
      let x = random.normals(count).map { $0 + 5 }
      let (weight, bias) = (random.normals(count), random.normals(count))
      let out = Guarded(x)
      let (w, b) = (Guarded(weight), Guarded(bias))
      level.kernels.layer_norm(out.pointer, w.pointer, b.pointer, count, 1e-5, out.pointer)
      let mean = x.reduce(0.0) { $0 + Double($1) } / Double(count)
      let variance = x.reduce(0.0) { $0 + pow(Double($1) - mean, 2) } / Double(count)
      for i in 0..<count {
        let want =
          (Double(x[i]) - mean) / (variance + 1e-5).squareRoot() * Double(weight[i])
          + Double(bias[i])
        #expect(abs(Double(out[i]) - want) <= 2e-5 * max(1, abs(want)))
      }
    }
  }

  @Test(arguments: Level.available) func rotationOfNeighbours(level: Level) {
    var random = Random(51)
    for count in [2, 4, 6, 16, 30, 34, 64, 128] {
      let x = random.normals(count)
      let angles = random.normals(count / 2)
      let out = Guarded(x)
      let cosine = Guarded(angles.map { cosf($0) }), sine = Guarded(angles.map { sinf($0) })
      level.kernels.rope_pairs(out.pointer, cosine.pointer, sine.pointer, count)
      for pair in 0..<count / 2 {
        let (a, b) = (Double(x[2 * pair]), Double(x[2 * pair + 1]))
        let (c, s) = (Double(cosine[pair]), Double(sine[pair]))
        #expect(abs(Double(out[2 * pair]) - (a * c - b * s)) < 1e-6)
        #expect(abs(Double(out[2 * pair + 1]) - (a * s + b * c)) < 1e-6)
      }
    }
  }

  @Test(arguments: Level.available) func sigmoids(level: Level) {
    var random = Random(52)
    for count in RowTests.lengths {
      var x = random.normals(count, deviation: 8)
      if count > 3 { x[0...2] = [200, -200, .nan] }
      let out = Guarded(x)
      level.kernels.sigmoid(out.pointer, count)
      for i in 0..<count where !x[i].isNaN {
        #expect(abs(Double(out[i]) - 1 / (1 + exp(-Double(x[i])))) <= 2e-7)
      }
      if count > 3 { #expect(out[2].isNaN) }
    }
  }

  @Test(arguments: Level.available) func clampedSwiGLU(level: Level) {
    var random = Random(53)
    for inner in [1, 15, 16, 17, 32, 40] {
      let (rows, padded) = (3, (inner + 15) / 16 * 16)
      let (ld, ldh) = (2 * padded + 3, inner + 2)
      let pairs = Guarded(random.normals(rows * ld, deviation: 6))
      let (gateBias, upBias) = (random.normals(inner), random.normals(inner))
      let (g, u) = (Guarded(gateBias), Guarded(upBias))
      let out = Guarded(rows * ldh, filledWith: canary)
      level.kernels.swiglu_clamped(
        pairs.pointer, ld, rows, inner, g.pointer, u.pointer, 1.702, 7, out.pointer, ldh)
      for row in 0..<rows {
        for i in 0..<inner {
          let at = row * ld + i / 16 * 32 + i % 16
          let gate = min(Double(pairs[at] + gateBias[i]), 7)
          let up = min(max(Double(pairs[at + 16] + upBias[i]), -7), 7)
          let want = gate / (1 + exp(-1.702 * gate)) * (up + 1)
          #expect(abs(Double(out[row * ldh + i]) - want) <= 2e-6 * max(1, abs(want)))
        }
        #expect(out[row * ldh + inner].bitPattern == canary.bitPattern)
      }
      pairs[0] = .nan
      level.kernels.swiglu_clamped(
        pairs.pointer, ld, 1, inner, g.pointer, u.pointer, 1.702, 7, out.pointer, ldh)
      #expect(out[0].isNaN)
    }
  }
}
