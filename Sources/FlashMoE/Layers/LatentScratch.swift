import CKernels

/// Working memory of latent attention over a run of rows, as wide as the widest layer needs.
///
/// Shapes: a = rows of a run, Q = query rows, C = compressed rows, W = padded width of a position.
struct LatentScratch {
  /// [a][query rank] f32 and int8, [a][Q], [a][C]
  let queryDown: Activations
  let query: UnsafeMutablePointer<Float>
  let compressed: UnsafeMutablePointer<Float>
  /// [a][value rows] attention output, f32 and int8.
  let attended: Activations
  /// For each thread: a position as stored, an item's absorbed queries, its mixed latents, and the
  /// kernel's own.
  private let work: UnsafeMutablePointer<Float>
  private let workCount: Int
  private let width: Int
  private let latent: Int

  init(
    _ layers: [ModelConfiguration.LatentAttention], rows: Int, threadCount: Int,
    cutter: inout ArenaCutter
  ) {
    let rows = layers.isEmpty ? 0 : rows
    queryDown = Scratch.activations(
      rows, layers.reduce(0) { max($0, $1.queryRank ?? 0) }, &cutter)
    query = cutter.take(Float.self, count: rows * layers.reduce(0) { max($0, $1.queryRows) })
    compressed = cutter.take(
      Float.self, count: rows * layers.reduce(0) { max($0, $1.compressedRows) })
    attended = Scratch.activations(rows, layers.reduce(0) { max($0, $1.valueRows) }, &cutter)
    width = layers.reduce(0) { max($0, LatentCache.width($1)) }
    latent = layers.reduce(0) { max($0, fm_latent_padded($1.rank)) }
    let kernel = fm_latent_workspace_bytes(LatentSplit.lines) / MemoryLayout<Float>.size
    workCount = layers.isEmpty ? 0 : width + LatentSplit.lines * (width + latent) + kernel
    work = cutter.take(Float.self, count: threadCount * workCount)
  }

  struct Work {
    /// [W]
    let position: UnsafeMutablePointer<Float>
    /// [lines][W], [lines][padded rank]
    let queries: UnsafeMutablePointer<Float>
    let mixed: UnsafeMutablePointer<Float>
    let kernel: UnsafeMutableRawPointer
  }

  @inline(__always)
  func work(thread: Int) -> Work {
    let start = work + thread * workCount
    let queries = start + width
    let mixed = queries + LatentSplit.lines * width
    return Work(
      position: start, queries: queries, mixed: mixed,
      kernel: UnsafeMutableRawPointer(mixed + LatentSplit.lines * latent))
  }
}
