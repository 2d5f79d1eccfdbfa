import CKernels
import Glibc
import Support
import Synchronization

/// Grouped-query attention with per-head norms and rotary positions.
extension Decoder {
  /// hidden += attention(norm(hidden)) for `rows` new positions of layer `layer`.
  ///
  /// A run of rows needs the keys of itself and what came before, so a chunk goes through in runs:
  /// buffers stay small, weights are read once a run, and the disk is looked after in between.
  func attend(_ layer: Int, rows: Int) {
    var clock = PhaseClock()
    var first = 0
    while first < rows {
      let count = min(scratch.attentionRows, rows - first)
      attend(layer, first..<first + count)
      first += count
    }
    clock.lap(&times.attention)
  }

  private func attend(_ layer: Int, _ range: Range<Int>) {
    let weights = weights.layers[layer]
    let rows = range.count
    let quantizes = weights.query.usesInt8 || weights.key.usesInt8 || weights.value.usesInt8
    normalize(range, weight: weights.inputNorm, quantizes: quantizes)
    project(weights, scratch.normalized.from(row: range.lowerBound), rows: rows)
    streamer?.poll()
    let start = position + range.lowerBound
    prepareRotations(start: start, rows: rows)
    rotateAndStore(layer, weights, start: start, rows: rows)
    mix(layer, start: start, rows: rows)
    streamer?.poll()
    if weights.output.usesInt8 { quantizeAttended(rows: rows) }
    let update = scratch.update + range.lowerBound * configuration.hiddenSize
    multiply(
      weights.output, scratch.attended, rows: rows, output: update,
      outputStride: configuration.hiddenSize)
    if let biases = weights.biases {
      add(biases.output, to: update, columns: configuration.hiddenSize, rows: rows)
    }
    addUpdate(range)
    streamer?.poll()
  }

  /// Cosines and sines of a run's positions: the same for all heads and, in a step, all layers.
  private func prepareRotations(start: Int, rows: Int) {
    guard rotationsStart != start || rotationsCount != rows else { return }
    rotationsStart = start
    rotationsCount = rows
    let half = inverseFrequencies.count
    let factor = configuration.attention.rope.attentionFactor
    let (pool, scratch) = (pool, scratch)
    func share(_ range: Range<Int>) {
      for row in range {
        for pair in 0..<half {
          let angle = Float(start + row) * inverseFrequencies[pair]
          scratch.cosines[row * half + pair] = cosf(angle) * factor
          scratch.sines[row * half + pair] = sinf(angle) * factor
        }
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// q, k and v in one parallel region.
  private func project(_ weights: LayerWeights, _ input: Activations, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let attention = configuration.attention
    pool.run { thread in
      kernels.multiply(
        weights.query, blocks: pool.share(of: weights.query.blockCount, for: thread),
        input, rows: rows, output: scratch.query, outputStride: attention.queryRows)
      kernels.multiply(
        weights.key, blocks: pool.share(of: weights.key.blockCount, for: thread),
        input, rows: rows, output: scratch.key, outputStride: attention.keyValueRows)
      kernels.multiply(
        weights.value, blocks: pool.share(of: weights.value.blockCount, for: thread),
        input, rows: rows, output: scratch.value,
        outputStride: attention.keyValueRows)
    }
    if let biases = weights.biases {
      add(biases.query, to: scratch.query, columns: attention.queryRows, rows: rows)
      add(biases.key, to: scratch.key, columns: attention.keyValueRows, rows: rows)
      add(biases.value, to: scratch.value, columns: attention.keyValueRows, rows: rows)
    }
  }

  private func add(
    _ bias: UnsafePointer<Float>, to values: UnsafeMutablePointer<Float>, columns: Int, rows: Int
  ) {
    for row in 0..<rows {
      kernels.table.pointee.multiply_add(1, bias, columns, values + row * columns)
    }
  }

  /// Head norms, rotation, and the new keys and values into the cache.
  private func rotateAndStore(_ layer: Int, _ weights: LayerWeights, start: Int, rows: Int) {
    let (kernels, pool, scratch, cache) = (kernels, pool, scratch, cache)
    let attention = configuration.attention
    let epsilon = configuration.normEpsilon
    let dimension = attention.headDimension
    let half = attention.rope.dimension / 2

    func prepare(
      _ head: UnsafeMutablePointer<Float>, norm: UnsafePointer<Float>?, row: Int
    ) {
      if let norm { kernels.table.pointee.rms_norm(head, norm, dimension, epsilon, head) }
      kernels.table.pointee.rope(
        head, scratch.cosines + row * half, scratch.sines + row * half, 2 * half)
    }
    func share(_ range: Range<Int>) {
      for row in range {
        let query = scratch.query + row * attention.queryRows
        for head in 0..<attention.headCount {
          prepare(query + head * dimension, norm: weights.queryNorm, row: row)
        }
        let key = scratch.key + row * attention.keyValueRows
        let value = scratch.value + row * attention.keyValueRows
        for head in 0..<attention.keyValueHeadCount {
          prepare(key + head * dimension, norm: weights.keyNorm, row: row)
          var target = cache.head(head, layer: layer)
          kernels.table.pointee.cache_store(
            &target, start + row, key + head * dimension, value + head * dimension)
        }
      }
    }
    if rows == 1 { return share(0..<1) }
    pool.run { thread in share(pool.share(of: rows, for: thread)) }
  }

  /// softmax(q·K) V: threads take items of one key/value head and a few rows until none is left.
  ///
  /// Later rows see more positions, so items are taken from the last rows to the first: the long
  /// ones start early and the short ones fill the end.  Between its items thread 0, which owns the
  /// disk's queue, looks after it: with long contexts a run takes longer than the queue lasts.
  private func mix(_ layer: Int, start: Int, rows: Int) {
    let (kernels, scratch, cache, streamer) = (kernels, scratch, cache, streamer)
    let attention = configuration.attention
    let dimension = attention.headDimension
    let heads = attention.keyValueHeadCount
    let split = AttentionSplit(
      rows: rows, heads: heads, group: attention.queriesPerKeyValueHead,
      threadCount: pool.threadCount)
    let scale = 1 / Float(dimension).squareRoot()
    let next = Atomic<Int>(0)
    pool.run { thread in
      while true {
        let item = split.count - 1 - next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard item >= 0 else { return }
        let part = split[item]
        let offset =
          part.rows.lowerBound * attention.queryRows
          + (part.head * attention.queriesPerKeyValueHead + part.queries.lowerBound) * dimension
        var head = cache.head(part.head, layer: layer)
        var queries = fm_attention_rows(
          queries: scratch.query + offset, out: scratch.attended.values + offset,
          query_stride: attention.queryRows, out_stride: attention.queryRows,
          rows: part.rows.count, heads: part.queries.count,
          position: start + part.rows.lowerBound, scale: scale)
        kernels.table.pointee.attention(
          &head, &queries, scratch.attentionWork + thread * scratch.attentionWorkBytes)
        if thread == 0 { streamer?.poll() }
      }
    }
  }

  private func quantizeAttended(rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch)
    let columns = configuration.attention.queryRows
    if rows == 1 { return kernels.quantize(scratch.attended, columns: columns, rows: 0..<1) }
    pool.run { thread in
      kernels.quantize(
        scratch.attended, columns: columns, rows: pool.share(of: rows, for: thread))
    }
  }
}
