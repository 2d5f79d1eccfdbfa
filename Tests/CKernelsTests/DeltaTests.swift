import CKernels
import Glibc
import Testing

/// The gated delta rule, its convolution and its gates against double precision.
@Suite struct DeltaTests {
  /// One head's rows, laid out with gaps, and a state.
  struct Rows {
    let rows: Int, keyDimension: Int, valueDimension: Int
    let stride: Int, outStride: Int
    let queries: Guarded<Float>, keys: Guarded<Float>, values: Guarded<Float>
    let decays: Guarded<Float>, rates: Guarded<Float>
    /// [value dimension][key dimension]
    let start: [[Float]]
    static let gateStride = 3

    init(rows: Int, keyDimension: Int, valueDimension: Int, random: inout Random) {
      self.rows = rows
      self.keyDimension = keyDimension
      self.valueDimension = valueDimension
      let stride = max(keyDimension, valueDimension) + 7
      self.stride = stride
      outStride = valueDimension + 3
      func unit(_ rows: Int, _ random: inout Random) -> [Float] {
        var all: [Float] = []
        for _ in 0..<rows {
          let x = random.normals(keyDimension)
          let length = x.reduce(Float(0)) { $0 + $1 * $1 }.squareRoot()
          all += x.map { $0 / length } + [Float](repeating: canary, count: stride - keyDimension)
        }
        return all.dropLast(stride - keyDimension)
      }
      queries = Guarded(unit(rows, &random))
      keys = Guarded(unit(rows, &random))
      values = Guarded(random.normals((rows - 1) * stride + valueDimension))
      decays = Guarded((0..<(rows - 1) * Self.gateStride + 1).map { _ in random.uniform() })
      rates = Guarded((0..<(rows - 1) * Self.gateStride + 1).map { _ in random.uniform() })
      start = (0..<valueDimension).map { _ in random.normals(keyDimension, deviation: 0.3) }
    }

    var panels: Int { (valueDimension + 15) / 16 }

    func state() -> Guarded<Float> {
      let state = Guarded(panels * keyDimension * 16, filledWith: Float(0))
      for (v, row) in start.enumerated() {
        for (k, value) in row.enumerated() {
          state[(v / 16 * keyDimension + k) * 16 + v % 16] = value
        }
      }
      return state
    }

    /// Runs rows in calls of `together` rows over panels cut at `cut`.
    func run(_ level: Level, together: Int, cut: Int) -> (out: [Float], state: [Float]) {
      let state = state()
      let out = Guarded((rows - 1) * outStride + valueDimension, filledWith: canary)
      for first in Swift.stride(from: 0, to: rows, by: together) {
        var part = fm_delta_rows(
          queries: queries.pointer + first * stride, keys: keys.pointer + first * stride,
          values: values.pointer + first * stride,
          decays: decays.pointer + first * Self.gateStride,
          rates: rates.pointer + first * Self.gateStride, out: out.pointer + first * outStride,
          stride: stride, gate_stride: Self.gateStride, out_stride: outStride,
          rows: min(together, rows - first), key_dim: keyDimension, value_dim: valueDimension)
        level.kernels.delta_rule(state.pointer, &part, 0, cut)
        level.kernels.delta_rule(state.pointer, &part, cut, panels)
      }
      return (out.array, state.array)
    }

    func reference() -> (out: [[Double]], state: [[Double]]) {
      var state = start.map { $0.map(Double.init) }
      var out: [[Double]] = []
      for t in 0..<rows {
        let decay = Double(decays[t * Self.gateStride]), rate = Double(rates[t * Self.gateStride])
        var row: [Double] = []
        for v in 0..<valueDimension {
          for k in 0..<keyDimension { state[v][k] *= decay }
          let held = (0..<keyDimension).reduce(0.0) {
            $0 + state[v][$1] * Double(keys[t * stride + $1])
          }
          let change = rate * (Double(values[t * stride + v]) - held)
          for k in 0..<keyDimension { state[v][k] += Double(keys[t * stride + k]) * change }
          row.append(
            (0..<keyDimension).reduce(0.0) { $0 + state[v][$1] * Double(queries[t * stride + $1]) })
        }
        out.append(row)
      }
      return (out, state)
    }
  }

  @Test(arguments: Level.available)
  func followsTheRecurrence(level: Level) {
    var random = Random(40)
    for (keyDimension, valueDimension) in [
      (1, 1), (5, 3), (16, 16), (32, 32), (24, 40), (128, 128), (31, 100),
    ] {
      for rows in [1, 2, 3, 64, 130] {
        if rows * keyDimension * valueDimension > 600_000 { continue }
        let given = Rows(
          rows: rows, keyDimension: keyDimension, valueDimension: valueDimension, random: &random)
        let expected = given.reference()
        let got = given.run(level, together: rows, cut: given.panels / 2)
        for (t, row) in expected.out.enumerated() {
          for (v, value) in row.enumerated() {
            #expect(abs(Double(got.out[t * given.outStride + v]) - value) <= 2e-5)
          }
        }
        for (v, row) in expected.state.enumerated() {
          for (k, value) in row.enumerated() {
            let at = (v / 16 * keyDimension + k) * 16 + v % 16
            #expect(abs(Double(got.state[at]) - value) <= 2e-5)
          }
        }
        let gaps = got.out.filter { $0.bitPattern == canary.bitPattern }.count
        #expect(gaps == (rows - 1) * (given.outStride - valueDimension))
      }
    }
  }

  /// Rows cut anywhere and panels shared in any way: the same bits, of outputs and of state.
  @Test(arguments: Level.available)
  func cutsDoNotShow(level: Level) {
    var random = Random(41)
    for (keyDimension, valueDimension) in [(32, 32), (20, 150), (128, 128)] {
      let given = Rows(
        rows: 70, keyDimension: keyDimension, valueDimension: valueDimension, random: &random)
      let expected = given.run(level, together: 1, cut: 1)
      for together in [2, 7, 63, 64, 65, 70] {
        for cut in [0, 1, given.panels / 2, given.panels] {
          let got = given.run(level, together: together, cut: cut)
          #expect(bits(got.out) == bits(expected.out), "\(together) rows, cut at \(cut)")
          #expect(bits(got.state) == bits(expected.state), "\(together) rows, cut at \(cut)")
        }
      }
    }
  }

  private func convolve(
    _ level: Level, weights: Guarded<Float>, source: [Float], taps: Int, channels: Int,
    stride: Int, rows: Int, together: Int, cut: Int
  ) -> (values: [Float], state: [Float]) {
    let values = Guarded(source)
    let state = Guarded(max(1, (taps - 1) * channels), filledWith: Float(0))
    for first in Swift.stride(from: 0, to: rows, by: together) {
      var part = fm_convolution(
        weights: weights.pointer, state: state.pointer, values: values.pointer + first * stride,
        stride: stride, rows: min(together, rows - first), channels: channels, taps: taps)
      level.kernels.convolve(&part, 0, cut)
      level.kernels.convolve(&part, cut, channels)
    }
    return (values.array, state.array)
  }

  @Test(arguments: Level.available)
  func convolution(level: Level) {
    var random = Random(42)
    for taps in [1, 2, 3, 4, 5, 16] {
      for channels in [1, 15, 16, 33, 100] {
        let (rows, stride) = (19, channels + 5)
        let weights = Guarded(random.normals(channels * taps))
        let source = random.normals((rows - 1) * stride + channels)
        let whole = convolve(
          level, weights: weights, source: source, taps: taps, channels: channels, stride: stride,
          rows: rows, together: rows, cut: 0)
        for t in 0..<rows {
          for c in 0..<channels {
            var sum = 0.0
            for tap in 0..<taps where t + tap >= taps - 1 {
              sum +=
                Double(weights[c * taps + tap]) * Double(source[(t + tap - taps + 1) * stride + c])
            }
            let expected = sum / (1 + exp(-sum))
            #expect(abs(Double(whole.values[t * stride + c]) - expected) <= 2e-6 * max(1, abs(sum)))
          }
          for gap in channels..<stride where t + 1 < rows {
            #expect(whole.values[t * stride + gap] == source[t * stride + gap])
          }
        }
        for tap in 0..<taps - 1 {
          for c in 0..<channels {
            #expect(whole.state[tap * channels + c] == source[(rows - taps + 1 + tap) * stride + c])
          }
        }
        for together in [1, 2, 3, 7] {
          let parts = convolve(
            level, weights: weights, source: source, taps: taps, channels: channels,
            stride: stride, rows: rows, together: together, cut: min(16, channels / 16 * 16))
          #expect(bits(parts.values) == bits(whole.values))
          #expect(bits(parts.state) == bits(whole.state))
        }
      }
    }
  }

  @Test(arguments: Level.available)
  func gatesAndLengths(level: Level) {
    var random = Random(43)
    for n in RowTests.lengths {
      let source = random.normals(n, deviation: 2), gate = random.normals(n, deviation: 5)
      let gates = Guarded(gate)
      let silu = Guarded(source), sigmoid = Guarded(source), unit = Guarded(source)
      level.kernels.gate_silu(silu.pointer, gates.pointer, n)
      level.kernels.gate_sigmoid(sigmoid.pointer, gates.pointer, n)
      level.kernels.l2_norm(unit.pointer, n, 1e-6, 0.25)
      let length = source.reduce(1e-6) { $0 + Double($1) * Double($1) }.squareRoot()
      for i in 0..<n {
        let opened = 1 / (1 + exp(-Double(gate[i])))
        let x = Double(source[i])
        #expect(abs(Double(sigmoid[i]) - x * opened) <= 1e-6 * abs(x * opened) + 1e-30)
        let wanted = x * opened * Double(gate[i])
        #expect(abs(Double(silu[i]) - wanted) <= 1e-6 * abs(wanted) + 1e-30)
        #expect(abs(Double(unit[i]) - x / length * 0.25) <= 1e-6)
      }
    }
    let zeros = Guarded([Float](repeating: 0, count: 33))
    level.kernels.l2_norm(zeros.pointer, 33, 1e-6, 1)
    #expect(zeros.array.allSatisfy { $0 == 0 })
  }
}
