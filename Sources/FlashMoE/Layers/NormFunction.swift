/// The model's norm as the loops apply it.
struct NormFunction {
  let isLayerNorm: Bool
  let epsilon: Float

  init(_ norm: ModelConfiguration.Norm) {
    isLayerNorm = norm.kind == .layer
    epsilon = norm.epsilon
  }

  /// y = norm(x) over `count` elements; y may be x.
  @inline(__always)
  func apply(
    _ kernels: Kernels, _ x: UnsafePointer<Float>, _ weights: NormWeights, _ count: Int,
    _ y: UnsafeMutablePointer<Float>
  ) {
    if isLayerNorm, let bias = weights.bias {
      kernels.table.pointee.layer_norm(x, weights.weight, bias, count, epsilon, y)
    } else {
      kernels.table.pointee.rms_norm(x, weights.weight, count, epsilon, y)
    }
  }
}
