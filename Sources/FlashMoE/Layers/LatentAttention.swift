import CKernels
import Support
import Synchronization

/// Attention over a compressed cache, in its absorbed form: queries are turned into latent ones, so
/// that positions are never expanded into keys and values (docs/latent-attention.md).
extension Decoder {
  /// hidden += attention(norm(hidden)) for `rows` new positions of layer `layer`.
  func attendLatent(_ layer: Int, _ weights: LatentWeights, rows: Int) {
    guard case .latent(let cache) = state.layers[layer] else { return }
    var clock = PhaseClock()
    forEachRun(of: rows) { attendLatent(layer, weights, cache, $0) }
    clock.lap(&times.attention)
  }

  private func attendLatent(
    _ layer: Int, _ weights: LatentWeights, _ cache: LatentCache, _ range: Range<Int>
  ) {
    let shape = weights.shape
    let rows = range.count
    let first = weights.queryDown ?? weights.query
    normalize(
      range, self.weights.layers[layer].inputNorm,
      quantizes: first.usesInt8 || weights.compress.usesInt8)
    project(weights, scratch.normalized.from(row: range.lowerBound), rows: rows)
    streamer?.poll()
    let start = position + range.lowerBound
    rotations[shape.rotation].prepare(start: start, rows: rows, pool: pool)
    rotateAndStore(weights, cache, start: start, rows: rows)
    let attended = scratch.latent.attended.narrowed(to: shape.valueRows)
    mix(weights, cache, attended, start: start, rows: rows)
    streamer?.poll()
    if weights.output.usesInt8 { quantize(attended, columns: shape.valueRows, rows: rows) }
    addMixed(attended, through: weights.output, bias: weights.outputBias, range)
  }

  /// Queries, at once or through their own low rank, and the compressed keys and values.
  private func project(_ weights: LatentWeights, _ input: Activations, rows: Int) {
    let (kernels, pool, scratch) = (kernels, pool, scratch.latent)
    let shape = weights.shape
    let low = scratch.queryDown.narrowed(to: shape.queryRank)
    pool.run { thread in
      if let down = weights.queryDown {
        kernels.multiply(
          down, blocks: pool.share(of: down.blockCount, for: thread), input, rows: rows,
          output: low.values, outputStride: shape.queryRank)
      } else {
        kernels.multiply(
          weights.query, blocks: pool.share(of: weights.query.blockCount, for: thread), input,
          rows: rows, output: scratch.query, outputStride: shape.queryRows)
      }
      kernels.multiply(
        weights.compress, blocks: pool.share(of: weights.compress.blockCount, for: thread), input,
        rows: rows, output: scratch.compressed, outputStride: shape.compressedRows)
    }
    add(weights.compressBias, to: scratch.compressed, columns: shape.compressedRows, rows: rows)
    guard weights.queryDown != nil, let norm = weights.queryNorm else { return }
    add(weights.queryDownBias, to: low.values, columns: shape.queryRank, rows: rows)
    pool.run { thread in
      let share = pool.share(of: rows, for: thread)
      for row in share {
        let values = low.values + row * shape.queryRank
        kernels.table.pointee.rms_norm(values, norm, shape.queryRank, shape.epsilon, values)
      }
      if weights.query.usesInt8 { kernels.quantize(low, columns: shape.queryRank, rows: share) }
      pool.barrier()
      kernels.multiply(
        weights.query, blocks: pool.share(of: weights.query.blockCount, for: thread), low,
        rows: rows, output: scratch.query, outputStride: shape.queryRows)
    }
  }

  /// Rotates queries and keys, normalizes latents, and stores the new positions.
  private func rotateAndStore(_ weights: LatentWeights, _ cache: LatentCache, start: Int, rows: Int)
  {
    let (kernels, pool, scratch) = (kernels, pool, scratch.latent)
    let shape = weights.shape
    let rotation = Rotation(rotations[shape.rotation])
    let padded = fm_latent_padded(shape.rank)
    let width = fm_latent_width(shape.rank, shape.rotatedDimension)
    func share(_ range: Range<Int>, thread: Int) {
      guard !range.isEmpty else { return }
      let stored = scratch.work(thread: thread).position
      stored.update(repeating: 0, count: width)
      var target = cache.kernel
      for row in range {
        let query = scratch.query + row * shape.queryRows + shape.plainDimension
        for head in 0..<shape.headCount {
          rotation.apply(kernels, query + head * shape.headDimension, row: row)
        }
        let compressed = scratch.compressed + row * shape.compressedRows
        kernels.table.pointee.rms_norm(
          compressed, weights.latentNorm, shape.rank, shape.epsilon, stored)
        rotation.apply(kernels, compressed + shape.rank, row: row)
        (stored + padded).update(from: compressed + shape.rank, count: shape.rotatedDimension)
        kernels.table.pointee.latent_store(&target, start + row, stored)
      }
    }
    if rows == 1 { return share(0..<1, thread: 0) }
    pool.run { thread in share(pool.share(of: rows, for: thread), thread: thread) }
  }

  /// softmax(q·K) V of every head: threads take items from the last rows to the first.
  ///
  /// An item's queries are absorbed, mixed and expanded by the thread that has it, in its own
  /// buffers: with 128 heads the latent queries of a whole run would be larger than its weights.
  private func mix(
    _ weights: LatentWeights, _ cache: LatentCache, _ attended: Activations, start: Int, rows: Int
  ) {
    let (kernels, scratch, streamer) = (kernels, scratch.latent, streamer)
    let shape = weights.shape
    let split = LatentSplit(rows: rows, heads: shape.headCount, threadCount: pool.threadCount)
    let next = Atomic<Int>(0)
    pool.run { thread in
      let work = scratch.work(thread: thread)
      while true {
        let item = split.count - 1 - next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard item >= 0 else { return }
        let part = split[item]
        Self.absorb(weights, part, scratch.query, work, kernels)
        var source = cache.kernel
        var lines = fm_latent_rows(
          queries: work.queries, out: work.mixed, rows: part.rows.count, heads: part.heads.count,
          position: start + part.rows.lowerBound, scale: shape.scale)
        kernels.table.pointee.latent_attention(&source, &lines, work.kernel)
        Self.expand(weights, part, attended, work, kernels)
        if thread == 0 { streamer?.poll() }
      }
    }
  }

  /// [rows][heads][width] latent queries: each head's plain part through its own matrix, then the
  /// rotated part as it is.
  private static func absorb(
    _ weights: LatentWeights, _ part: LatentSplit.Part, _ query: UnsafeMutablePointer<Float>,
    _ work: LatentScratch.Work, _ kernels: Kernels
  ) {
    let shape = weights.shape
    let padded = fm_latent_padded(shape.rank)
    let width = fm_latent_width(shape.rank, shape.rotatedDimension)
    let (rows, heads) = (part.rows.count, part.heads.count)
    work.queries.update(repeating: 0, count: rows * heads * width)
    for (at, head) in part.heads.enumerated() {
      let plain = query + part.rows.lowerBound * shape.queryRows + head * shape.headDimension
      let matrix = weights.absorb[head]
      kernels.multiplyPlain(
        matrix, input: plain, inputStride: shape.queryRows, rows: rows,
        output: work.queries + at * width, outputStride: heads * width)
      for row in 0..<rows {
        (work.queries + (row * heads + at) * width + padded).update(
          from: plain + row * shape.queryRows + shape.plainDimension,
          count: shape.rotatedDimension)
      }
    }
  }

  private static func expand(
    _ weights: LatentWeights, _ part: LatentSplit.Part, _ attended: Activations,
    _ work: LatentScratch.Work, _ kernels: Kernels
  ) {
    let shape = weights.shape
    let padded = fm_latent_padded(shape.rank)
    let heads = part.heads.count
    for (at, head) in part.heads.enumerated() {
      kernels.multiplyPlain(
        weights.expand[head], input: work.mixed + at * padded, inputStride: heads * padded,
        rows: part.rows.count,
        output: attended.values + part.rows.lowerBound * shape.valueRows
          + head * shape.valueDimension, outputStride: shape.valueRows)
    }
  }
}

extension Kernels {
  /// A whole matrix by one thread, with f32 activations.
  @inline(__always)
  func multiplyPlain(
    _ matrix: Matrix, input: UnsafePointer<Float>, inputStride: Int, rows: Int,
    output: UnsafeMutablePointer<Float>, outputStride: Int
  ) {
    withUnsafePointer(to: matrix.kernel) {
      table.pointee.matmul_f32(
        $0, 0, matrix.blockCount, input, inputStride, rows, output, outputStride)
    }
  }
}
