import CKernels
import Support
import WeightStore

/// A chunk's experts: rows grouped by expert, each record read once, in file order.
extension Decoder {
  /// update[t] = Σ weight · expert(normalized[t]), summed in ascending expert order.
  func chunkExperts(_ layer: Int, storeLayer: Int, shape: ExpertShape, rows: Int) throws(Failure) {
    guard let streamer else { return }
    var clock = PhaseClock()
    let needed = groupRows(rows)
    let experts = UnsafeBufferPointer(start: scratch.neededExperts, count: needed)
    try streamer.begin(layer: storeLayer, experts: experts, order: .request)
    defer { streamer.end() }
    announcePredicted(after: layer, rows: rows, streamer: streamer)
    startUpdate(layer, rows: rows)
    clock.lap(&times.router)
    while true {
      clock.lap(&times.experts)
      let delivery = try streamer.next()
      clock.lap(&times.inputOutputWait)
      guard let delivery else { break }
      let first = Int(scratch.rowStarts[delivery.expert])
      let end = Int(scratch.rowStarts[delivery.expert + 1])
      computeRows(
        first..<end, storeLayer: storeLayer, expert: delivery.expert, shape: shape,
        record: delivery.record)
      streamer.release(delivery.position)
    }
    clock.lap(&times.experts)
  }

  /// Counting sort of (token, expert) pairs by expert; returns how many experts have rows.
  func groupRows(_ rows: Int) -> Int {
    let (experts, perToken) = (router.expertCount, router.perToken)
    let starts = scratch.rowStarts
    starts.update(repeating: 0, count: experts + 1)
    for pair in 0..<rows * perToken { starts[Int(scratch.chosen[pair]) + 1] += 1 }
    var needed = 0
    for expert in 0..<experts {
      if starts[expert + 1] > 0 {
        scratch.neededExperts[needed] = Int32(expert)
        needed += 1
      }
      starts[expert + 1] += starts[expert]
    }
    // Filling moves each start to its end, which is the next one's start: moved back below.
    for token in 0..<rows {
      for pair in token * perToken..<(token + 1) * perToken {
        let expert = Int(scratch.chosen[pair])
        let row = Int(starts[expert])
        scratch.rowTokens[row] = Int32(token)
        scratch.rowWeights[row] = scratch.chosenWeights[pair]
        starts[expert] += 1
      }
    }
    for expert in stride(from: experts, to: 0, by: -1) { starts[expert] = starts[expert - 1] }
    starts[0] = 0
    return needed
  }

  /// One expert's rows in tiles: gather, two products, add to each token's update.
  private func computeRows(
    _ range: Range<Int>, storeLayer: Int, expert: Int, shape: ExpertShape,
    record: UnsafeRawPointer
  ) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let hiddenSize = configuration.hiddenSize
    let gateUp = shape.gateUp(record, expert: expert)
    let down = shape.down(record, expert: expert)
    let tile = ExpertTile(
      gateUp: gateUp, down: down, inner: shape.inner, hiddenSize: hiddenSize,
      output: scratch.expertOutput, activation: shape.activation, expert: expert)
    let bias = shape.downBias.map { $0 + expert * hiddenSize }
    var first = range.lowerBound
    while first < range.upperBound {
      let count = min(scratch.tileRows, range.upperBound - first)
      let tileStart = first
      pool.run { thread in
        for row in pool.share(of: count, for: thread) {
          scratch.gather(
            token: Int(scratch.rowTokens[tileStart + row]), into: row, int8: gateUp.usesInt8)
        }
        pool.barrier()
        tile.compute(
          scratch.gathered, rows: count, thread: thread, scratch: scratch, pool: pool,
          kernels: kernels)
        pool.barrier()
        for row in pool.share(of: count, for: thread) {
          if let bias {
            kernels.table.pointee.multiply_add(
              1, bias, hiddenSize, scratch.expertOutput + row * hiddenSize)
          }
          kernels.table.pointee.multiply_add(
            scratch.rowWeights[tileStart + row], scratch.expertOutput + row * hiddenSize,
            hiddenSize, scratch.update + Int(scratch.rowTokens[tileStart + row]) * hiddenSize)
        }
      }
      if let expertObserver {
        expertObserver(
          ExpertRows(
            storeLayer: storeLayer, expert: expert,
            tokens: UnsafeBufferPointer(start: scratch.rowTokens + first, count: count),
            input: scratch.normalized, activated: scratch.activated(inner: shape.inner)))
      }
      first += count
    }
  }
}

/// Rows of one SwiGLU unit computed by all threads of a region.
struct ExpertTile {
  var gateUp: Matrix
  var down: Matrix
  var inner: Int
  var hiddenSize: Int
  /// [rows][H]
  var output: UnsafeMutablePointer<Float>
  var activation = ExpertActivation.swiglu
  /// Whose biases the activation uses.
  var expert = 0

  /// output[t] = down(activation(gate(x), up(x))); inside a region, one barrier between products.
  @inline(__always)
  func compute(
    _ input: Activations, rows: Int, thread: Int, scratch: Scratch, pool: WorkerPool,
    kernels: Kernels
  ) {
    let activated = scratch.activated(inner: inner)
    kernels.multiply(
      gateUp, blocks: pool.share(of: gateUp.blockCount, for: thread), input, rows: rows,
      output: scratch.gateUp, outputStride: scratch.gateUpStride)
    pool.barrier()
    let share = pool.share(of: rows, for: thread)
    activation.apply(
      kernels, expert: expert,
      gateUp: scratch.gateUp + share.lowerBound * scratch.gateUpStride,
      stride: scratch.gateUpStride, rows: share.count, inner: inner,
      output: activated.values + share.lowerBound * activated.stride,
      outputStride: activated.stride)
    if down.usesInt8 { kernels.quantize(activated, columns: inner, rows: share) }
    pool.barrier()
    kernels.multiply(
      down, blocks: pool.share(of: down.blockCount, for: thread), activated, rows: rows,
      output: output, outputStride: hiddenSize)
  }
}

extension Scratch {
  /// Copies one token's activations into row `row` of the tile.
  @inline(__always)
  func gather(token: Int, into row: Int, int8: Bool) {
    let source = normalized.from(row: token)
    let target = gathered.from(row: row)
    if int8 {
      let groups = source.quantized.stride / Int(FM_ACTIVATION_GROUP)
      target.quantized.values.update(from: source.quantized.values, count: source.quantized.stride)
      target.quantized.scales.update(from: source.quantized.scales, count: groups)
      target.quantized.sums.update(from: source.quantized.sums, count: groups)
    } else {
      target.values.update(from: source.values, count: source.stride)
    }
  }
}
