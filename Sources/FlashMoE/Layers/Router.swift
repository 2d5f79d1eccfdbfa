import CKernels

/// Chooses the experts of each token: softmax over all experts, then the k largest.
///
/// Ties go to the lower expert number, so a choice never depends on sort order.
struct Router {
  let expertCount: Int
  let perToken: Int
  let normalizesWeights: Bool

  /// Turns `logits` [expertCount] into chosen experts and weights, by falling weight.
  @inline(__always)
  func choose(
    _ logits: UnsafeMutablePointer<Float>, kernels: Kernels,
    indices: UnsafeMutablePointer<Int32>, weights: UnsafeMutablePointer<Float>
  ) {
    kernels.table.pointee.softmax(logits, expertCount)
    var filled = 0
    for expert in 0..<expertCount {
      let weight = logits[expert]
      // Insertion into a list of k: most experts fail the first comparison.
      if filled == perToken, weight <= weights[perToken - 1] { continue }
      var at = filled < perToken ? filled : perToken - 1
      while at > 0, weights[at - 1] < weight {
        weights[at] = weights[at - 1]
        indices[at] = indices[at - 1]
        at -= 1
      }
      weights[at] = weight
      indices[at] = Int32(expert)
      if filled < perToken { filled += 1 }
    }
    guard normalizesWeights else { return }
    var sum: Float = 0
    for at in 0..<perToken { sum += weights[at] }
    for at in 0..<perToken { weights[at] /= sum }
  }
}
