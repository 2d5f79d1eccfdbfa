import CKernels
import Support
import Synchronization

/// Grouped-query attention over cached keys and values.
extension Decoder {
  /// hidden += attention(norm(hidden)) for `rows` new positions of layer `layer`.
  func attend(_ layer: Int, _ weights: AttentionWeights, rows: Int) {
    guard case .attention(let cache) = state.layers[layer] else { return }
    var clock = PhaseClock()
    forEachRun(of: rows) { attend(layer, weights, cache, $0) }
    clock.lap(&times.attention)
  }

  private func attend(
    _ layer: Int, _ weights: AttentionWeights, _ cache: KeyValueCache, _ range: Range<Int>
  ) {
    let rows = range.count
    let attended = scratch.attention.attended(columns: weights.shape.queryRows)
    let quantizes =
      weights.query.usesInt8 || weights.key.usesInt8 || weights.value.usesInt8
      || weights.gate?.usesInt8 == true
    normalize(range, self.weights.layers[layer].inputNorm, quantizes: quantizes)
    project(weights, scratch.normalized.from(row: range.lowerBound), rows: rows)
    streamer?.poll()
    let start = position + range.lowerBound
    rotations[weights.shape.rotation].prepare(start: start, rows: rows, pool: pool)
    rotateAndStore(weights, cache, start: start, rows: rows)
    mix(weights, cache, attended, start: start, rows: rows)
    streamer?.poll()
    if weights.gate != nil { openGates(attended, columns: weights.shape.queryRows, rows: rows) }
    if weights.output.usesInt8 {
      quantize(attended, columns: weights.shape.queryRows, rows: rows)
    }
    addMixed(attended, through: weights.output, bias: weights.outputBias, range)
  }

  /// q, k and v in one parallel region.
  private func project(_ weights: AttentionWeights, _ input: Activations, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch.attention)
    let shape = weights.shape
    pool.run { thread in
      kernels.multiply(
        weights.query, blocks: pool.share(of: weights.query.blockCount, for: thread),
        input, rows: rows, output: scratch.query, outputStride: shape.queryRows)
      kernels.multiply(
        weights.key, blocks: pool.share(of: weights.key.blockCount, for: thread),
        input, rows: rows, output: scratch.key, outputStride: shape.keyValueRows)
      kernels.multiply(
        weights.value, blocks: pool.share(of: weights.value.blockCount, for: thread),
        input, rows: rows, output: scratch.value, outputStride: shape.keyValueRows)
      if let gate = weights.gate {
        kernels.multiply(
          gate, blocks: pool.share(of: gate.blockCount, for: thread), input, rows: rows,
          output: scratch.gate, outputStride: shape.queryRows)
      }
    }
    add(weights.queryBias, to: scratch.query, columns: shape.queryRows, rows: rows)
    add(weights.keyBias, to: scratch.key, columns: shape.keyValueRows, rows: rows)
    add(weights.valueBias, to: scratch.value, columns: shape.keyValueRows, rows: rows)
  }

  /// values[r] += bias, where there is one.
  func add(
    _ bias: UnsafePointer<Float>?, to values: UnsafeMutablePointer<Float>, columns: Int, rows: Int
  ) {
    guard let bias else { return }
    for row in 0..<rows {
      kernels.table.pointee.multiply_add(1, bias, columns, values + row * columns)
    }
  }

  /// Head norms, rotation, and the new keys and values into the cache.
  private func rotateAndStore(
    _ weights: AttentionWeights, _ cache: KeyValueCache, start: Int, rows: Int
  ) {
    let (kernels, pool, scratch) = (kernels, pool, scratch.attention)
    let shape = weights.shape
    let dimension = shape.headDimension
    let epsilon = configuration.norm.epsilon
    let rotation = Rotation(rotations[shape.rotation])

    /// All heads of one row of q or k.
    func prepare(
      _ heads: UnsafeMutablePointer<Float>, count: Int, norm: UnsafePointer<Float>?, row: Int
    ) {
      if shape.normsTogether, let norm {
        kernels.table.pointee.rms_norm(heads, norm, count * dimension, epsilon, heads)
      }
      if shape.clip > 0 { Self.clip(heads, count: count * dimension, shape.clip) }
      for head in 0..<count {
        let at = heads + head * dimension
        if !shape.normsTogether, let norm {
          kernels.table.pointee.rms_norm(at, norm, dimension, epsilon, at)
        }
        rotation.apply(kernels, at, row: row)
      }
    }
    func share(_ range: Range<Int>) {
      for row in range {
        let query = scratch.query + row * shape.queryRows
        prepare(query, count: shape.headCount, norm: weights.queryNorm, row: row)
        let key = scratch.key + row * shape.keyValueRows
        prepare(key, count: shape.keyValueHeadCount, norm: weights.keyNorm, row: row)
        let value = scratch.value + row * shape.keyValueRows
        if shape.clip > 0 { Self.clip(value, count: shape.keyValueRows, shape.clip) }
        for head in 0..<shape.keyValueHeadCount {
          var target = cache.head(head)
          kernels.table.pointee.cache_store(
            &target, start + row, key + head * dimension, value + head * dimension)
        }
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  private static func clip(_ values: UnsafeMutablePointer<Float>, count: Int, _ limit: Float) {
    for index in 0..<count { values[index] = min(max(values[index], -limit), limit) }
  }

  /// softmax(q·K) V: threads take items of one key/value head and a few rows until none is left.
  ///
  /// Later rows see more positions, so items are taken from the last rows to the first: the long
  /// ones start early and the short ones fill the end.  Between its items thread 0, which owns the
  /// disk's queue, looks after it: with long contexts a run takes longer than the queue lasts.
  private func mix(
    _ weights: AttentionWeights, _ cache: KeyValueCache, _ attended: Activations, start: Int,
    rows: Int
  ) {
    let (kernels, scratch, streamer) = (kernels, scratch.attention, streamer)
    let (shape, sinks) = (weights.shape, weights.sinks)
    let split = AttentionSplit(
      rows: rows, heads: shape.keyValueHeadCount, group: shape.queriesPerKeyValueHead,
      threadCount: pool.threadCount)
    let next = Atomic<Int>(0)
    pool.run { thread in
      while true {
        let item = split.count - 1 - next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard item >= 0 else { return }
        let part = split[item]
        let first = part.head * shape.queriesPerKeyValueHead + part.queries.lowerBound
        let offset = part.rows.lowerBound * shape.queryRows + first * shape.headDimension
        var head = cache.head(part.head)
        var queries = fm_attention_rows(
          queries: scratch.query + offset, out: attended.values + offset,
          query_stride: shape.queryRows, out_stride: shape.queryRows,
          rows: part.rows.count, heads: part.queries.count,
          position: start + part.rows.lowerBound, scale: shape.scale, window: shape.window,
          sinks: sinks.map { $0 + first })
        kernels.table.pointee.attention(
          &head, &queries, scratch.work + thread * scratch.workBytes)
        if thread == 0 { streamer?.poll() }
      }
    }
  }

  /// attended · sigmoid(gate)
  private func openGates(_ attended: Activations, columns: Int, rows: Int) {
    let (kernels, pool, gate) = (kernels, pool, scratch.attention.gate)
    func share(_ range: Range<Int>) {
      for row in range {
        kernels.table.pointee.gate_sigmoid(
          attended.values + row * columns, gate + row * columns, columns)
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// The int8 form of some rows.
  func quantize(_ activations: Activations, columns: Int, rows: Int) {
    let (kernels, pool) = (kernels, pool)
    if rows == 1 { return kernels.quantize(activations, columns: columns, rows: 0..<1) }
    pool.run { thread in
      kernels.quantize(activations, columns: columns, rows: pool.share(of: rows, for: thread))
    }
  }
}
