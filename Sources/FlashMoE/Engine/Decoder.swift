import CKernels
import Support
import WeightStore

/// The forward pass: tokens in, logits out, keys and values kept.
///
/// Owned by the engine's thread.  Reads like the paper; the arithmetic is in CKernels, the split
/// over threads in `WorkerPool`, the experts' bytes in `ExpertStreamer`.
///
/// The result for a token is bit-identical however the prompt was cut into chunks, whatever the
/// cache holds and however many threads run: every kernel's output depends on its own row and
/// weights only, and sums over experts are taken in ascending expert order.
final class Decoder {
  let configuration: ModelConfiguration
  let weights: ModelWeights
  let scratch: Scratch
  let state: ModelState
  let kernels: Kernels
  let pool: WorkerPool
  /// nil for a model without routed experts.
  let streamer: ExpertStreamer?
  let router: Router
  let norm: NormFunction
  let prefetches: Bool
  /// What the threads share while they compute a step's experts.
  let flow: ExpertFlow

  /// Tokens whose state the layers hold.
  private(set) var position = 0
  /// The furthest position stored since the context was empty: what is behind a ring is gone.
  private(set) var storedEnd = 0
  var times = PhaseTimes()
  /// One for each kind of rotation.
  var rotations: [RotationTable]
  /// Called with (layer, indices [m][k], weights [m][k], m) when someone wants to see routing.
  var routerObserver: ((Int, UnsafePointer<Int32>, UnsafePointer<Float>, Int) -> Void)?

  /// Called for every tile of a chunk's experts when someone records what they are fed.
  var expertObserver: ((ExpertRows) -> Void)?
  /// Called for every layer of a single token when someone records routing.
  var stepObserver: ((RoutedStep) -> Void)?

  init(
    configuration: ModelConfiguration, weights: ModelWeights, scratch: Scratch,
    state: ModelState, kernels: Kernels, pool: WorkerPool, streamer: ExpertStreamer?,
    prefetches: Bool
  ) {
    self.configuration = configuration
    self.weights = weights
    self.scratch = scratch
    self.state = state
    self.kernels = kernels
    self.pool = pool
    self.streamer = streamer
    self.prefetches = prefetches
    router = Router(configuration.experts)
    norm = NormFunction(configuration.norm)
    rotations = zip(configuration.rotations, scratch.rotations).map {
      RotationTable($0, contextLength: state.contextLength, rows: $1)
    }
    flow = ExpertFlow(
      expertLimit: max(1, min(scratch.tileRows, configuration.experts.count)),
      threadCount: pool.threadCount)
  }

  deinit { flow.free() }

  /// Forgets everything after the first `count` positions, or everything where some layer's state
  /// cannot be cut back so far; returns how many are left.
  @discardableResult
  func rewind(to count: Int) -> Int {
    let wanted = min(position, max(0, count))
    if wanted < position {
      position = state.canCutBack(to: wanted, end: storedEnd) ? wanted : 0
    }
    if position == 0 { storedEnd = 0 }
    return position
  }

  /// The layers' states were put into place: they are of `count` tokens, after `storedEnd` had been
  /// stored (as many where none were taken back).
  func restored(to count: Int, storedEnd: Int? = nil) {
    position = count
    self.storedEnd = storedEnd ?? count
  }

  /// Runs up to `chunkLength` tokens through all layers.
  ///
  /// On an error the position stays where it was, so the same tokens can be tried again.
  func forward(_ tokens: UnsafeBufferPointer<Int32>) throws(Failure) {
    precondition(tokens.count <= scratch.chunkLength && tokens.count > 0)
    guard position + tokens.count <= state.contextLength else {
      throw Failure(
        .budget, "context", "\(position + tokens.count) tokens where \(state.contextLength) fit",
        remedy: "Use a larger --ctx")
    }
    let start = Clock.nanoseconds()
    streamer?.beginToken(tokens)
    storedEnd = max(storedEnd, position + tokens.count)
    embed(tokens)
    for layer in weights.layers.indices {
      switch weights.layers[layer].mixer {
      case .attention(let attention): attend(layer, attention, rows: tokens.count)
      }
      try feedForward(layer, rows: tokens.count)
    }
    position += tokens.count
    times.total &+= Clock.nanoseconds() &- start
  }

  /// Logits [V] after row `row` of the last forward pass; valid until the next call.
  func logits(row: Int) -> UnsafeMutableBufferPointer<Float> {
    var clock = PhaseClock()
    let hiddenSize = configuration.hiddenSize
    let input = scratch.normalized
    norm.apply(
      kernels, scratch.hidden + row * hiddenSize, weights.finalNorm, hiddenSize, input.values)
    let head = weights.head
    if head.usesInt8 { kernels.quantize(input, columns: hiddenSize, rows: 0..<1) }
    multiply(head, input, rows: 1, output: scratch.logits, outputStride: head.rows)
    if let bias = weights.headBias {
      kernels.table.pointee.multiply_add(1, bias, head.rows, scratch.logits)
    }
    scale(scratch.logits, by: configuration.multipliers.logits, count: head.rows)
    let before = times.head
    clock.lap(&times.head)
    times.total &+= times.head &- before
    return UnsafeMutableBufferPointer(start: scratch.logits, count: configuration.vocabularySize)
  }

  private func embed(_ tokens: UnsafeBufferPointer<Int32>) {
    withUnsafePointer(to: weights.embedding.kernel) { table in
      for (row, token) in tokens.enumerated() {
        fm_unpack_row(table, Int(token), scratch.hidden + row * configuration.hiddenSize)
      }
    }
    scale(
      scratch.hidden, by: configuration.multipliers.embedding,
      count: tokens.count * configuration.hiddenSize)
  }

  private func scale(_ values: UnsafeMutablePointer<Float>, by factor: Float, count: Int) {
    guard factor != 1 else { return }
    for index in 0..<count { values[index] *= factor }
  }

  /// One matrix, its blocks shared among all threads.
  @inline(__always)
  func multiply(
    _ matrix: Matrix, _ input: Activations, rows: Int, output: UnsafeMutablePointer<Float>,
    outputStride: Int
  ) {
    let (kernels, pool) = (kernels, pool)
    pool.run { thread in
      kernels.multiply(
        matrix, blocks: pool.share(of: matrix.blockCount, for: thread), input, rows: rows,
        output: output, outputStride: outputStride)
    }
  }

  /// Normalizes rows of the residual stream into `scratch.normalized`, in int8 too where asked.
  func normalize(_ rows: Range<Int>, _ weights: NormWeights, quantizes: Bool) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let (hiddenSize, norm) = (configuration.hiddenSize, norm)
    func share(_ range: Range<Int>) {
      for row in range {
        norm.apply(
          kernels, scratch.hidden + row * hiddenSize, weights, hiddenSize,
          scratch.normalized.values + row * hiddenSize)
      }
      if quantizes { kernels.quantize(scratch.normalized, columns: hiddenSize, rows: range) }
    }
    // One row is faster done than shared.
    if rows.count == 1 { return share(rows) }
    pool.run { thread in
      let range = pool.share(of: rows.count, for: thread)
      share(rows.lowerBound + range.lowerBound..<rows.lowerBound + range.upperBound)
    }
  }

  /// hidden += update · the residual multiplier, for these rows.
  func addUpdate(_ rows: Range<Int>) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let start = rows.lowerBound * configuration.hiddenSize
    let count = rows.count * configuration.hiddenSize
    let factor = configuration.multipliers.residual
    if rows.count == 1 {
      return kernels.table.pointee.multiply_add(
        factor, scratch.update + start, count, scratch.hidden + start)
    }
    pool.run { thread in
      let range = pool.share(of: count, for: thread)
      let at = start + range.lowerBound
      kernels.table.pointee.multiply_add(
        factor, scratch.update + at, range.count, scratch.hidden + at)
    }
  }
}
