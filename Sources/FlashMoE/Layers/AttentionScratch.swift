import CKernels

/// Working memory of attention over a run of rows, as wide as the widest layer needs.
///
/// Shapes: a = rows of a run, Q = query rows, K = key/value rows.
struct AttentionScratch {
  /// [a][Q], [a][Q] gates of layers that have some, [a][K], [a][K]
  let query: UnsafeMutablePointer<Float>
  let gate: UnsafeMutablePointer<Float>
  let key: UnsafeMutablePointer<Float>
  let value: UnsafeMutablePointer<Float>
  /// [a][Q] attention output, f32 and int8.
  let attended: Activations
  /// [threads][workBytes] the lines of attention in work.
  let work: UnsafeMutableRawPointer
  let workBytes: Int

  init(
    _ layers: [ModelConfiguration.Attention], rows: Int, threadCount: Int,
    cutter: inout ArenaCutter
  ) {
    let queryRows = layers.map(\.queryRows).max() ?? 0
    let keyValueRows = layers.map(\.keyValueRows).max() ?? 0
    let gateRows = layers.filter(\.hasGate).map(\.queryRows).max() ?? 0
    query = cutter.take(Float.self, count: rows * queryRows)
    gate = cutter.take(Float.self, count: rows * gateRows)
    key = cutter.take(Float.self, count: rows * keyValueRows)
    value = cutter.take(Float.self, count: rows * keyValueRows)
    attended = Scratch.activations(rows, queryRows, &cutter)
    workBytes =
      layers.isEmpty
      ? 0 : fm_attention_workspace_bytes(layers.map(\.headDimension).max() ?? 0)
    work = UnsafeMutableRawPointer(cutter.take(UInt8.self, count: threadCount * workBytes))
  }

  /// The attended rows of a layer with `columns` query rows.
  @inline(__always)
  func attended(columns: Int) -> Activations {
    var view = attended
    view.stride = columns
    view.quantized.stride = Activations.quantizedStride(columns)
    return view
  }
}
