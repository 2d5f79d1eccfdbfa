import CKernels
import Glibc
import Support
import Synchronization

/// The gated DeltaNet: projections, a short convolution, the delta rule, a gated norm.
extension Decoder {
  /// How a run's rows meet a layer's state.
  private enum Manner {
    /// They go into it for good.
    case apply
    /// They see it and leave it; a journal keeps them.
    case keepInJournal
    /// They are a journal's: their outputs are known already.
    case replay
  }

  /// hidden += deltaNet(norm(hidden)) for `rows` new positions of layer `layer`.
  func recur(_ layer: Int, _ weights: DeltaWeights, rows: Int, accepted: Int, keeps: Bool) {
    guard case .recurrent(let state) = state.layers[layer] else { return }
    var clock = PhaseClock()
    if position == 0 { state.clear() }
    replay(weights, state, rows: accepted)
    forEachRun(of: rows) { recur(layer, weights, state, $0, keeps: keeps) }
    clock.lap(&times.attention)
  }

  private func recur(
    _ layer: Int, _ weights: DeltaWeights, _ state: RecurrentState, _ range: Range<Int>,
    keeps: Bool
  ) {
    let rows = range.count
    let shape = weights.shape
    let quantizes =
      weights.mixed.usesInt8 || weights.gate.usesInt8 || weights.rate.usesInt8
      || weights.decay.usesInt8
    normalize(range, self.weights.layers[layer].inputNorm, quantizes: quantizes)
    project(weights, scratch.normalized.from(row: range.lowerBound), rows: rows)
    streamer?.poll()
    if keeps { journal(shape, state, rows: rows) }
    mix(weights, state, rows: rows, manner: keeps ? .keepInJournal : .apply)
    streamer?.poll()
    let attended = scratch.delta.attended.narrowed(to: shape.valueRows)
    finish(weights, attended, rows: rows)
    addMixed(attended, through: weights.output, bias: nil, range)
  }

  /// Channels, output gates, and each head's decay and rate.
  private func project(_ weights: DeltaWeights, _ input: Activations, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch.delta)
    let shape = weights.shape
    let heads = shape.valueHeadCount
    pool.run { thread in
      kernels.multiply(
        weights.mixed, blocks: pool.share(of: weights.mixed.blockCount, for: thread), input,
        rows: rows, output: scratch.mixed, outputStride: shape.channels)
      kernels.multiply(
        weights.gate, blocks: pool.share(of: weights.gate.blockCount, for: thread), input,
        rows: rows, output: scratch.gate, outputStride: shape.valueRows)
      kernels.multiply(
        weights.rate, blocks: pool.share(of: weights.rate.blockCount, for: thread), input,
        rows: rows, output: scratch.rates, outputStride: heads)
      kernels.multiply(
        weights.decay, blocks: pool.share(of: weights.decay.blockCount, for: thread), input,
        rows: rows, output: scratch.decays, outputStride: heads)
      pool.barrier()
      for row in pool.share(of: rows, for: thread) {
        for head in 0..<heads {
          let at = row * heads + head
          scratch.rates[at] = 1 / (1 + expf(-scratch.rates[at]))
          let step = Self.softplus(scratch.decays[at] + weights.decayBias[head])
          scratch.decays[at] = expf(weights.decayRates[head] * step)
        }
      }
    }
  }

  /// ln(1 + e^x), which is x where it cannot be told from it.
  private static func softplus(_ x: Float) -> Float { x > 20 ? x : log1pf(expf(x)) }

  /// Keeps what a replay needs.
  private func journal(_ shape: DeltaShape, _ state: RecurrentState, rows: Int) {
    let heads = shape.valueHeadCount
    state.inputs.update(from: scratch.delta.mixed, count: rows * shape.channels)
    state.decays.update(from: scratch.delta.decays, count: rows * heads)
    state.rates.update(from: scratch.delta.rates, count: rows * heads)
  }

  /// Applies the first `rows` of a layer's journal.
  func replay(_ weights: DeltaWeights, _ state: RecurrentState, rows: Int) {
    guard rows > 0 else { return }
    let shape = weights.shape
    let heads = shape.valueHeadCount
    scratch.delta.mixed.update(from: state.inputs, count: rows * shape.channels)
    scratch.delta.decays.update(from: state.decays, count: rows * heads)
    scratch.delta.rates.update(from: state.rates, count: rows * heads)
    mix(weights, state, rows: rows, manner: .replay)
  }

  /// The convolution, the lengths of queries and keys, and the delta rule.
  private func mix(_ weights: DeltaWeights, _ state: RecurrentState, rows: Int, manner: Manner) {
    let (kernels, pool, scratch, streamer) = (kernels, pool, scratch.delta, streamer)
    let shape = weights.shape
    let channels = shape.channels
    let keeps = manner == .keepInJournal
    if keeps { scratch.window.update(from: state.window, count: state.windowCount) }
    let scale = 1 / Float(shape.keyDimension).squareRoot()
    let strips = (shape.panels + DeltaScratch.panelsPerItem - 1) / DeltaScratch.panelsPerItem
    let items = shape.valueHeadCount * strips
    let next = Atomic<Int>(0)
    pool.run { thread in
      var convolution = fm_convolution(
        weights: weights.convolution, state: keeps ? scratch.window : state.window,
        values: scratch.mixed, stride: channels, rows: rows, channels: channels,
        taps: shape.taps)
      let runs = pool.share(of: (channels + 15) / 16, for: thread)
      if !runs.isEmpty {
        kernels.table.pointee.convolve(
          &convolution, 16 * runs.lowerBound, min(16 * runs.upperBound, channels))
      }
      pool.barrier()
      for at in pool.share(of: rows * 2 * shape.keyHeadCount, for: thread) {
        let (row, head) = (at / (2 * shape.keyHeadCount), at % (2 * shape.keyHeadCount))
        kernels.table.pointee.l2_norm(
          scratch.mixed + row * channels + head * shape.keyDimension, shape.keyDimension, 1e-6,
          head < shape.keyHeadCount ? scale : 1)
      }
      pool.barrier()
      while true {
        let item = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard item < items else { return }
        Self.applyRule(
          shape, state, head: item / strips, strip: item % strips, rows: rows,
          panels: keeps ? scratch.panels(thread: thread) : nil, scratch, kernels)
        if thread == 0 { streamer?.poll() }
      }
    }
  }

  /// The delta rule for some panels of one head, on a copy of them where one is given.
  private static func applyRule(
    _ shape: DeltaShape, _ state: RecurrentState, head: Int, strip: Int, rows: Int,
    panels: UnsafeMutablePointer<Float>?, _ scratch: DeltaScratch, _ kernels: Kernels
  ) {
    let first = strip * DeltaScratch.panelsPerItem
    let count = min(DeltaScratch.panelsPerItem, shape.panels - first)
    let panelSize = shape.keyDimension * 16
    var target = state.matrix + (head * shape.panels + first) * panelSize
    if let panels {
      panels.update(from: target, count: count * panelSize)
      target = panels
    }
    let (heads, keyHead) = (shape.valueHeadCount, shape.keyHead(of: head))
    let value = 2 * shape.keyRows + head * shape.valueDimension
    var call = fm_delta_rows(
      queries: scratch.mixed + keyHead * shape.keyDimension,
      keys: scratch.mixed + shape.keyRows + keyHead * shape.keyDimension,
      values: scratch.mixed + value + 16 * first,
      decays: scratch.decays + head, rates: scratch.rates + head,
      out: scratch.attended.values + head * shape.valueDimension + 16 * first,
      stride: shape.channels, gate_stride: heads, out_stride: shape.valueRows, rows: rows,
      key_dim: shape.keyDimension, value_dim: min(shape.valueDimension - 16 * first, 16 * count))
    kernels.table.pointee.delta_rule(target, &call, 0, count)
  }

  /// norm(output) · silu(gate) of every head, in int8 too where the projection wants it.
  private func finish(_ weights: DeltaWeights, _ attended: Activations, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch.delta)
    let shape = weights.shape
    func share(_ range: Range<Int>) {
      for row in range {
        let values = attended.values + row * shape.valueRows
        for head in 0..<shape.valueHeadCount {
          let output = values + head * shape.valueDimension
          kernels.table.pointee.rms_norm(
            output, weights.norm, shape.valueDimension, shape.epsilon, output)
        }
        kernels.table.pointee.gate_silu(
          values, scratch.gate + row * shape.valueRows, shape.valueRows)
      }
      if weights.output.usesInt8 {
        kernels.quantize(attended, columns: shape.valueRows, rows: range)
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }
}
