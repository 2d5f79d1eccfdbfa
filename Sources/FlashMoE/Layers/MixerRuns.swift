/// How every mixer goes through a chunk and ends.
extension Decoder {
  /// Calls `body` with runs of rows that fit the mixers' buffers.
  ///
  /// A run needs only what came before it, so buffers stay small, weights are read once a run, and
  /// the disk is looked after in between.
  @inline(__always)
  func forEachRun(of rows: Int, _ body: (Range<Int>) -> Void) {
    var first = 0
    while first < rows {
      let count = min(scratch.attentionRows, rows - first)
      body(first..<first + count)
      first += count
    }
  }

  /// hidden += output · mixed + bias, for these rows.
  func addMixed(
    _ mixed: Activations, through output: Matrix, bias: UnsafePointer<Float>?, _ range: Range<Int>
  ) {
    let update = scratch.update + range.lowerBound * configuration.hiddenSize
    multiply(
      output, mixed, rows: range.count, output: update, outputStride: configuration.hiddenSize)
    add(bias, to: update, columns: configuration.hiddenSize, rows: range.count)
    addUpdate(range)
    streamer?.poll()
  }
}
