import Support
import WeightStore

/// Looks tensors up by name and checks that they have the shape the model needs.
struct WeightResolver {
  let store: Store
  let base: UnsafeMutableRawPointer
  let int8Activations: Bool
  private let byName: [String: Manifest.ResidentTensor]

  init(store: Store, base: UnsafeMutableRawPointer, int8Activations: Bool) {
    self.store = store
    self.base = base
    self.int8Activations = int8Activations
    var byName: [String: Manifest.ResidentTensor] = [:]
    for tensor in store.manifest.residents { byName[tensor.name] = tensor }
    self.byName = byName
  }

  private func tensor(_ name: String) throws(Failure) -> Manifest.ResidentTensor {
    guard let tensor = byName[name] else {
      throw Failure(
        .mismatch, store.path, at: name, "the store lacks this tensor",
        remedy: "Pack the checkpoint again")
    }
    return tensor
  }

  func matrix(_ name: String, rows: Int, columns: Int) throws(Failure) -> Matrix {
    let tensor = try tensor(name)
    guard case .matrix(let layout) = tensor.layout, layout.rows == rows, layout.columns == columns
    else {
      throw Failure(
        .mismatch, store.path, at: name,
        "its shape is not the \(rows) x \(columns) that the configuration asks for",
        remedy: "Pack the checkpoint again")
    }
    return Matrix(layout, at: base + tensor.offset, int8Activations: int8Activations)
  }

  func vector(_ name: String, count: Int) throws(Failure) -> UnsafePointer<Float> {
    UnsafePointer(try mutableVector(name, count: count))
  }

  func mutableVector(_ name: String, count: Int) throws(Failure)
    -> UnsafeMutablePointer<Float>
  {
    let tensor = try tensor(name)
    guard tensor.layout == .vector(count: count) else {
      throw Failure(
        .mismatch, store.path, at: name, "it does not hold the \(count) values expected",
        remedy: "Pack the checkpoint again")
    }
    return (base + tensor.offset).assumingMemoryBound(to: Float.self)
  }

  /// A norm's weight as it is multiplied with: the 1 of a zero-centred one is added here, once,
  /// in the arena.
  func normWeight(_ name: String, count: Int, _ kind: ModelConfiguration.Norm.Kind)
    throws(Failure) -> UnsafePointer<Float>
  {
    let weight = try mutableVector(name, count: count)
    if kind == .rootMeanSquarePlusOne {
      for index in 0..<count { weight[index] += 1 }
    }
    return UnsafePointer(weight)
  }

  /// `PREFIX.weight`, and `PREFIX.bias` where the kind has one.
  func norm(_ prefix: String, count: Int, _ kind: ModelConfiguration.Norm.Kind) throws(Failure)
    -> NormWeights
  {
    NormWeights(
      weight: try normWeight(prefix + ".weight", count: count, kind),
      bias: kind == .layer ? try vector(prefix + ".bias", count: count) : nil)
  }

  /// `PREFIX.gate_up.weight` and `PREFIX.down_proj.weight`.
  func swiglu(_ prefix: String, inner: Int, hidden: Int) throws(Failure) -> SwiGLUWeights {
    SwiGLUWeights(
      gateUp: try matrix(
        prefix + ".gate_up.weight", rows: RecordLayout.pairedRows(inner), columns: hidden),
      down: try matrix(prefix + ".down_proj.weight", rows: hidden, columns: inner), inner: inner)
  }
}
