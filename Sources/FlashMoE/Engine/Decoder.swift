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
  let cache: KeyValueCache
  let kernels: Kernels
  let pool: WorkerPool
  /// nil for a model without routed experts.
  let streamer: ExpertStreamer?
  let router: Router
  let prefetches: Bool
  let inverseFrequencies: [Float]
  /// What the threads share while they compute a step's experts.
  let flow: ExpertFlow

  /// Tokens whose keys and values are in the cache.
  private(set) var position = 0
  var times = PhaseTimes()
  /// Positions whose rotations are in `scratch`.
  var rotationsStart = -1
  var rotationsCount = 0
  /// Called with (layer, indices [m][k], weights [m][k], m) when someone wants to see routing.
  var routerObserver: ((Int, UnsafePointer<Int32>, UnsafePointer<Float>, Int) -> Void)?

  /// Called for every layer of a single token when someone records routing.
  var stepObserver: ((RoutedStep) -> Void)?

  init(
    configuration: ModelConfiguration, weights: ModelWeights, scratch: Scratch,
    cache: KeyValueCache, kernels: Kernels, pool: WorkerPool, streamer: ExpertStreamer?,
    prefetches: Bool
  ) {
    self.configuration = configuration
    self.weights = weights
    self.scratch = scratch
    self.cache = cache
    self.kernels = kernels
    self.pool = pool
    self.streamer = streamer
    self.prefetches = prefetches
    router = Router(
      expertCount: configuration.experts.count, perToken: configuration.experts.perToken,
      normalizesWeights: configuration.experts.normalizesWeights)
    inverseFrequencies = configuration.attention.rope.inverseFrequencies()
    flow = ExpertFlow(
      expertLimit: max(1, min(scratch.tileRows, configuration.experts.count)),
      threadCount: pool.threadCount)
  }

  deinit { flow.free() }

  /// Forgets everything after the first `count` positions.
  func rewind(to count: Int) { position = min(position, max(0, count)) }

  /// Runs up to `chunkLength` tokens through all layers.
  ///
  /// On an error the position stays where it was, so the same tokens can be tried again.
  func forward(_ tokens: UnsafeBufferPointer<Int32>) throws(Failure) {
    precondition(tokens.count <= scratch.chunkLength && tokens.count > 0)
    guard position + tokens.count <= cache.contextLength else {
      throw Failure(
        .budget, "context", "\(position + tokens.count) tokens where \(cache.contextLength) fit",
        remedy: "Use a larger --ctx")
    }
    let start = Clock.nanoseconds()
    streamer?.beginToken(tokens)
    embed(tokens)
    for layer in weights.layers.indices {
      attend(layer, rows: tokens.count)
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
    kernels.table.pointee.rms_norm(
      scratch.hidden + row * hiddenSize, weights.finalNorm, hiddenSize, configuration.normEpsilon,
      input.values)
    let head = weights.head
    if head.usesInt8 { kernels.quantize(input, columns: hiddenSize, rows: 0..<1) }
    multiply(head, input, rows: 1, output: scratch.logits, outputStride: head.rows)
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
  func normalize(_ rows: Range<Int>, weight: UnsafePointer<Float>, quantizes: Bool) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let (hiddenSize, epsilon) = (configuration.hiddenSize, configuration.normEpsilon)
    func share(_ range: Range<Int>) {
      for row in range {
        kernels.table.pointee.rms_norm(
          scratch.hidden + row * hiddenSize, weight, hiddenSize, epsilon,
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

  /// hidden += update, for these rows.
  func addUpdate(_ rows: Range<Int>) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let start = rows.lowerBound * configuration.hiddenSize
    let count = rows.count * configuration.hiddenSize
    if rows.count == 1 {
      return kernels.table.pointee.multiply_add(
        1, scratch.update + start, count, scratch.hidden + start)
    }
    pool.run { thread in
      let range = pool.share(of: count, for: thread)
      let at = start + range.lowerBound
      kernels.table.pointee.multiply_add(1, scratch.update + at, range.count, scratch.hidden + at)
    }
  }
}
