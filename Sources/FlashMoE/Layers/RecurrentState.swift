/// One gated DeltaNet layer's state: a matrix a value head, and the inputs its convolution still
/// sees.  It does not grow with the text (docs/deltanet.md).
///
/// A state cannot be cut back.  So the rows of a short step, of which some may be drafts that turn
/// out wrong, leave it as it was: their inputs are kept in a *journal*, and the next step first
/// applies those that were accepted.
struct RecurrentState {
  /// The most rows a journal holds: those of a step.
  static let journalRows = Speculation.draftLimit + 1

  /// [value head][panel][key dimension][16]
  let matrix: UnsafeMutablePointer<Float>
  let matrixCount: Int
  /// [taps - 1][channels]
  let window: UnsafeMutablePointer<Float>
  let windowCount: Int
  /// [journal rows][channels] inputs of the convolution, and [journal rows][value heads] each.
  let inputs: UnsafeMutablePointer<Float>
  let decays: UnsafeMutablePointer<Float>
  let rates: UnsafeMutablePointer<Float>

  init(_ net: ModelConfiguration.DeltaNet, cutter: inout ArenaCutter) {
    matrixCount = net.valueHeadCount * ((net.valueDimension + 15) / 16 * 16) * net.keyDimension
    windowCount = (net.taps - 1) * net.channels
    matrix = cutter.take(Float.self, count: matrixCount)
    window = cutter.take(Float.self, count: windowCount)
    inputs = cutter.take(Float.self, count: Self.journalRows * net.channels)
    decays = cutter.take(Float.self, count: Self.journalRows * net.valueHeadCount)
    rates = cutter.take(Float.self, count: Self.journalRows * net.valueHeadCount)
  }

  /// What an empty text leaves.
  func clear() {
    matrix.update(repeating: 0, count: matrixCount)
    window.update(repeating: 0, count: windowCount)
  }
}

extension ModelConfiguration {
  /// Bytes of all states that do not grow with the context.
  public var recurrentStateBytes: Int {
    var cutter = ArenaCutter()
    for net in deltaNets { _ = RecurrentState(net, cutter: &cutter) }
    return cutter.usedBytes
  }
}

/// Which token the recurrent layers' states stand at.
struct RecurrentProgress: Equatable {
  /// Tokens that are in the matrices.
  var applied = 0
  /// Tokens after those that are in the journals.
  var journaled = 0

  var end: Int { applied + journaled }

  func canCutBack(to count: Int) -> Bool { count >= applied && count <= end }
}

extension RecurrentState: LayerStateKind {
  // What the journal allows is decided for all layers at once, by `RecurrentProgress`.
  func canCutBack(to count: Int, end: Int) -> Bool { true }

  func byteRanges(count: Int) -> [UnsafeMutableRawBufferPointer] {
    [(matrix, matrixCount), (window, windowCount)].map {
      UnsafeMutableRawBufferPointer(
        start: UnsafeMutableRawPointer($0), count: $1 * MemoryLayout<Float>.size)
    }
  }
}
