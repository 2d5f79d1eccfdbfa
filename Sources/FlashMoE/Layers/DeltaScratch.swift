/// Working memory of gated DeltaNets over a run of rows, as wide as the widest layer needs.
///
/// Shapes: a = rows of a run, C = channels, V = value rows, h = value heads.
struct DeltaScratch {
  /// Panels that a thread takes at once, so that their state stays in its first-level cache.
  static let panelsPerItem = 4

  /// [a][C] queries, keys and values; [a][V] output gates.
  let mixed: UnsafeMutablePointer<Float>
  let gate: UnsafeMutablePointer<Float>
  /// [a][h] what the state is multiplied by, and how much of an error is corrected.
  let decays: UnsafeMutablePointer<Float>
  let rates: UnsafeMutablePointer<Float>
  /// [taps - 1][C] a convolution's window while rows are not applied yet.
  let window: UnsafeMutablePointer<Float>
  /// [a][V] the heads' outputs, f32 and int8.
  let attended: Activations
  /// For each thread the panels of an item.
  private let panels: UnsafeMutablePointer<Float>
  private let panelCount: Int

  init(
    _ layers: [ModelConfiguration.DeltaNet], rows: Int, threadCount: Int,
    cutter: inout ArenaCutter
  ) {
    // A journal is applied in one piece, even where chunks are shorter.
    let rows = layers.isEmpty ? 0 : max(rows, RecurrentState.journalRows)
    func widest(_ size: (ModelConfiguration.DeltaNet) -> Int) -> Int {
      layers.reduce(0) { max($0, size($1)) }
    }
    mixed = cutter.take(Float.self, count: rows * widest(\.channels))
    gate = cutter.take(Float.self, count: rows * widest(\.valueRows))
    decays = cutter.take(Float.self, count: rows * widest(\.valueHeadCount))
    rates = cutter.take(Float.self, count: rows * widest(\.valueHeadCount))
    window = cutter.take(Float.self, count: widest { ($0.taps - 1) * $0.channels })
    attended = Scratch.activations(rows, widest(\.valueRows), &cutter)
    panelCount = widest(\.keyDimension) * 16 * Self.panelsPerItem
    panels = cutter.take(Float.self, count: threadCount * panelCount)
  }

  @inline(__always)
  func panels(thread: Int) -> UnsafeMutablePointer<Float> { panels + thread * panelCount }
}
