import CKernels

/// Working memory of a forward pass over up to `chunkLength` tokens, cut once from the arena.
///
/// Shapes: m = chunkLength, a = attentionRows, t = tileRows, H = hidden, E = experts, k = experts per
/// token, I = expert inner, D = widest SwiGLU inner.
struct Scratch {
  /// Rows of one expert are computed in tiles of at most this many.
  static let tileRowLimit = 256
  /// Attention goes through a chunk in runs of at most this many rows: a run sees the keys of those
  /// before it, so only these rows need queries at a time.
  static let attentionRowLimit = 256

  let chunkLength: Int
  let attentionRows: Int
  let tileRows: Int

  /// [m][H] the residual stream.
  let hidden: UnsafeMutablePointer<Float>
  /// [m][H] normalized input of attention or experts, f32 and int8.
  let normalized: Activations
  /// What attention layers work in.
  let attention: AttentionScratch
  /// What layers with a compressed cache and gated DeltaNets work in.
  let latent: LatentScratch
  let delta: DeltaScratch
  /// [m][H] what attention or the feed-forward adds to the residual stream.
  let update: UnsafeMutablePointer<Float>
  /// [m][E] router logits, then probabilities.
  let routerLogits: UnsafeMutablePointer<Float>
  /// [m][k] chosen experts and weights, by falling weight.
  let chosen: UnsafeMutablePointer<Int32>
  let chosenWeights: UnsafeMutablePointer<Float>
  /// [t][H] and [t][E], [t][k]: the next layer's router on this layer's hidden state.
  let predictionInput: UnsafeMutablePointer<Float>
  let predictionLogits: UnsafeMutablePointer<Float>
  let predicted: UnsafeMutablePointer<Int32>
  let predictedWeights: UnsafeMutablePointer<Float>
  /// [E] experts any row is predicted to need, ascending; [E] marks for gathering them.
  let predictedExperts: UnsafeMutablePointer<Int32>
  let isPredicted: UnsafeMutablePointer<Bool>
  /// [E + 1] first row of each expert in `rowTokens`; [E] needed experts ascending.
  let rowStarts: UnsafeMutablePointer<Int32>
  let neededExperts: UnsafeMutablePointer<Int32>
  /// [m·k] token of each row, and its weight, grouped by expert.
  let rowTokens: UnsafeMutablePointer<Int32>
  let rowWeights: UnsafeMutablePointer<Float>
  /// [min(t, E)] records of a step's experts that have landed, by position.
  let records: UnsafeMutablePointer<UnsafeRawPointer>
  /// [t][H] gathered rows of one expert.
  let gathered: Activations
  /// [t][2·pad16(D)] gate and up; [t][D] their SwiGLU, f32 and int8.
  let gateUp: UnsafeMutablePointer<Float>
  let gateUpStride: Int
  let activated: Activations
  /// [t][H] expert outputs before weighting.
  let expertOutput: UnsafeMutablePointer<Float>
  /// For each kind of rotation: [a][pairs] cosines and sines.
  let rotations: [RotationTable.Rows]
  /// [t] the shared expert's gate of each row.
  let sharedGates: UnsafeMutablePointer<Float>
  /// [V] logits of one token.
  let logits: UnsafeMutablePointer<Float>

  init(
    _ configuration: ModelConfiguration, chunkLength: Int, threadCount: Int,
    cutter: inout ArenaCutter
  ) {
    let experts = configuration.experts
    let hiddenSize = configuration.hiddenSize
    let rows = chunkLength
    // A step's experts use the tile buffers side by side, one row for each (token, expert).
    let tile = max(min(chunkLength, Self.tileRowLimit), experts.perToken)
    let widest = configuration.widestInner
    self.chunkLength = rows
    tileRows = tile
    attentionRows = min(rows, Self.attentionRowLimit)
    hidden = cutter.take(Float.self, count: rows * hiddenSize)
    normalized = Self.activations(rows, hiddenSize, &cutter)
    attention = AttentionScratch(
      configuration.attentions, rows: attentionRows, threadCount: threadCount, cutter: &cutter)
    latent = LatentScratch(
      configuration.latentAttentions, rows: attentionRows, threadCount: threadCount,
      cutter: &cutter)
    delta = DeltaScratch(
      configuration.deltaNets, rows: attentionRows, threadCount: threadCount, cutter: &cutter)
    update = cutter.take(Float.self, count: rows * hiddenSize)
    routerLogits = cutter.take(Float.self, count: rows * experts.count)
    chosen = cutter.take(Int32.self, count: rows * experts.perToken)
    chosenWeights = cutter.take(Float.self, count: rows * experts.perToken)
    predictionInput = cutter.take(Float.self, count: tile * hiddenSize)
    predictionLogits = cutter.take(Float.self, count: tile * experts.count)
    predicted = cutter.take(Int32.self, count: tile * experts.perToken)
    predictedWeights = cutter.take(Float.self, count: tile * experts.perToken)
    predictedExperts = cutter.take(Int32.self, count: experts.count)
    isPredicted = cutter.take(Bool.self, count: experts.count)
    rowStarts = cutter.take(Int32.self, count: experts.count + 1)
    neededExperts = cutter.take(Int32.self, count: experts.count)
    rowTokens = cutter.take(Int32.self, count: rows * experts.perToken)
    rowWeights = cutter.take(Float.self, count: rows * experts.perToken)
    records = cutter.take(UnsafeRawPointer.self, count: min(tile, experts.count))
    gathered = Self.activations(tile, hiddenSize, &cutter)
    gateUpStride = 2 * ((widest + 15) / 16 * 16)
    gateUp = cutter.take(Float.self, count: tile * gateUpStride)
    activated = Self.activations(tile, widest, &cutter)
    expertOutput = cutter.take(Float.self, count: tile * hiddenSize)
    rotations = configuration.rotations.map {
      RotationTable.Rows($0, rows: min(rows, Self.attentionRowLimit), cutter: &cutter)
    }
    sharedGates = cutter.take(Float.self, count: tile)
    logits = cutter.take(Float.self, count: configuration.vocabularySize)
  }

  static func activations(_ rows: Int, _ columns: Int, _ cutter: inout ArenaCutter)
    -> Activations
  {
    let stride = Activations.quantizedStride(columns)
    let groups = stride / Int(FM_ACTIVATION_GROUP)
    return Activations(
      values: cutter.take(Float.self, count: rows * columns), stride: columns,
      quantized: fm_activations(
        values: cutter.take(Int8.self, count: rows * stride),
        scales: cutter.take(Float.self, count: rows * groups),
        sums: cutter.take(Int32.self, count: rows * groups), stride: stride))
  }

  static func bytes(_ configuration: ModelConfiguration, chunkLength: Int, threadCount: Int) -> Int
  {
    var cutter = ArenaCutter()
    _ = Scratch(
      configuration, chunkLength: chunkLength, threadCount: threadCount, cutter: &cutter)
    return alignUpToPage(cutter.usedBytes)
  }
}

extension Activations {
  /// The same buffers with rows of `columns` numbers.
  @inline(__always)
  func narrowed(to columns: Int) -> Activations {
    var view = self
    view.stride = columns
    view.quantized.stride = Activations.quantizedStride(columns)
    return view
  }

  /// The same buffers starting at row `row`.
  @inline(__always)
  func from(row: Int) -> Activations {
    let groups = quantized.stride / Int(FM_ACTIVATION_GROUP)
    return Activations(
      values: values + row * stride, stride: stride,
      quantized: fm_activations(
        values: quantized.values + row * quantized.stride,
        scales: quantized.scales + row * groups, sums: quantized.sums + row * groups,
        stride: quantized.stride))
  }
}
