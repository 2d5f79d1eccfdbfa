/// What lies between an expert's two products, as the loops see it.
struct ExpertActivation {
  /// 0 for a plain SwiGLU.
  var alpha: Float = 0
  var limit: Float = 0
  /// [E][I] each, where there are biases.
  var gateBias: UnsafePointer<Float>?
  var upBias: UnsafePointer<Float>?

  static var swiglu: ExpertActivation { ExpertActivation() }

  /// h[r][i] from gate and up as blocked pairs, for `rows` rows of expert `expert`.
  @inline(__always)
  func apply(
    _ kernels: Kernels, expert: Int, gateUp: UnsafePointer<Float>, stride: Int, rows: Int,
    inner: Int, output: UnsafeMutablePointer<Float>, outputStride: Int
  ) {
    guard let gateBias, let upBias else {
      kernels.table.pointee.swiglu(gateUp, stride, rows, inner, output, outputStride)
      return
    }
    kernels.table.pointee.swiglu_clamped(
      gateUp, stride, rows, inner, gateBias + expert * inner, upBias + expert * inner, alpha,
      limit, output, outputStride)
  }
}
