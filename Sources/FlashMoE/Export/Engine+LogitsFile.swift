import Support

/// What a logits file holds and what making it cost.
public struct LogitsFileSummary: Sendable {
  public var tokenCount: Int
  public var vocabularySize: Int
  /// Layers whose routing was written.
  public var routedLayers: [Int]
  public var stage: GenerationSummary.Stage
}

extension Engine {
  /// Runs `tokens` from an empty context and writes the logits after each of them.
  ///
  /// The file holds f32 `logits [n, V]` and, with `wantsRouting`, for each layer with experts i32
  /// `router.<layer>.indices [n, k]` by falling weight and f32 `router.<layer>.weights [n, k]`.
  /// Rows are written as they are computed, so memory does not grow with n.
  ///
  /// - Parameters:
  ///   - chunkLength: tokens that go through a layer together; the result does not depend on it.
  ///   - progress: called with the rows written so far; returning false stops.
  /// - Throws: `Failure` as a generation and a file do; `.cancelled` when stopped.
  public func writeLogits(
    _ tokens: [Int32], to path: String, chunkLength: Int? = nil, wantsRouting: Bool = false,
    progress: @escaping @Sendable (Int) -> Bool = { _ in true }
  ) throws(Failure) -> LogitsFileSummary {
    guard !tokens.isEmpty else {
      throw Failure(.usage, "token ids", "there are none", remedy: "Give --ids or --ids-file")
    }
    guard tokens.count <= plan.contextLength else {
      throw Failure(
        .budget, "token ids", "\(tokens.count) where the context holds \(plan.contextLength)",
        remedy: "Use --ctx \(tokens.count) or fewer ids")
    }
    let vocabulary = configuration.vocabularySize
    let perToken = configuration.experts.perToken
    let layers = wantsRouting ? configuration.sparseLayers : []
    var metadata = [("model", store.manifest.name)]
    if let note = store.manifest.aliasNote { metadata.append(("aliased", note)) }
    let facts = metadata
    return try withCore { core throws(Failure) in
      let sink = try LogitsSink(
        path: path, rows: tokens.count, vocabulary: vocabulary, layers: layers,
        perToken: perToken, metadata: facts)
      core.startOver()
      if wantsRouting {
        core.decoder.routerObserver = { layer, indices, weights, rows in
          sink.route(layer, indices, weights, rows: rows)
        }
      }
      defer { core.decoder.routerObserver = nil }
      let start = Clock.nanoseconds()
      try core.process(tokens, chunkLength: chunkLength) { (first, rows) throws(Failure) -> Bool in
        for row in 0..<rows {
          try sink.write(core.decoder.logits(row: row), row: first + row)
          guard progress(first + row + 1) else {
            throw Failure(.cancelled, path, "interrupted; nothing was written")
          }
        }
        return true
      }
      try sink.finish()
      return LogitsFileSummary(
        tokenCount: tokens.count, vocabularySize: vocabulary, routedLayers: layers,
        stage: core.stage(tokens: tokens.count, since: start))
    }
  }
}

/// Puts rows and routing where they belong in the file; used by the engine's thread only.
private final class LogitsSink {
  private var writer: SafetensorsWriter
  private let vocabulary: Int
  private let perToken: Int
  /// Position in `layers`, and the rows of each layer that are written.
  private let places: [Int: Int]
  private var routedRows: [Int]
  /// A failed write inside an observer, which cannot throw.
  private var failure: Failure?

  init(
    path: String, rows: Int, vocabulary: Int, layers: [Int], perToken: Int,
    metadata: [(String, String)]
  ) throws(Failure) {
    var tensors = [SafetensorsWriter.Tensor.f32("logits", [rows, vocabulary])]
    for layer in layers {
      tensors.append(.i32("router.\(layer).indices", [rows, perToken]))
      tensors.append(.f32("router.\(layer).weights", [rows, perToken]))
    }
    writer = try SafetensorsWriter(path, tensors: tensors, metadata: metadata)
    self.vocabulary = vocabulary
    self.perToken = perToken
    places = Dictionary(uniqueKeysWithValues: layers.enumerated().map { ($1, $0) })
    routedRows = Array(repeating: 0, count: layers.count)
  }

  func write(_ logits: UnsafeMutableBufferPointer<Float>, row: Int) throws(Failure) {
    if let failure { throw failure }
    try writer.write(UnsafeRawBufferPointer(logits), to: 0, at: row * vocabulary * 4)
  }

  func route(
    _ layer: Int, _ indices: UnsafePointer<Int32>, _ weights: UnsafePointer<Float>, rows: Int
  ) {
    guard failure == nil, let place = places[layer] else { return }
    let offset = routedRows[place] * perToken * 4
    let bytes = rows * perToken * 4
    do throws(Failure) {
      try writer.write(
        UnsafeRawBufferPointer(start: indices, count: bytes), to: 1 + 2 * place, at: offset)
      try writer.write(
        UnsafeRawBufferPointer(start: weights, count: bytes), to: 2 + 2 * place, at: offset)
    } catch {
      failure = error
    }
    routedRows[place] += rows
  }

  func finish() throws(Failure) {
    if let failure { throw failure }
    try writer.finish()
  }
}
