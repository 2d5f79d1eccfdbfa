import Support
import WeightStore

/// Fewer bits for the experts that calibration saw rarely.
public struct MixedPrecision: Sendable, Equatable {
  public var hot: Scheme
  public var cold: Scheme
  /// The share of each layer's experts that are cold: those chosen least.
  public var coldShare: Double
  /// Of each expert layer, how often each expert was chosen.
  public var popularity: [[Int]]

  /// - Throws: `Failure(.usage)` for bits without a scheme, a share out of range, or no difference.
  public init(hotBits: Int, coldBits: Int, coldShare: Double, popularity: [[Int]]) throws(Failure) {
    hot = try Self.scheme(hotBits, "--hot-bits")
    cold = try Self.scheme(coldBits, "--cold-bits")
    guard coldBits < hotBits else {
      throw Failure(
        .usage, "--cold-bits", "\(coldBits) is not less than the \(hotBits) of --hot-bits")
    }
    guard coldShare > 0, coldShare < 1 else {
      throw Failure(.usage, "--cold-share", "\(coldShare) is not between 0 and 1")
    }
    self.coldShare = coldShare
    self.popularity = popularity
  }

  private static func scheme(_ bits: Int, _ flag: String) throws(Failure) -> Scheme {
    switch bits {
    case 2: return .q2
    case 3: return .q3
    case 4: return .q4
    case 8: return .q8
    default: throw Failure(.usage, flag, "\(bits) is not 2, 3, 4 or 8")
    }
  }

  /// Which experts of an expert layer are cold: of equally popular ones those with higher numbers.
  func isCold(layer: Int) -> [Bool] {
    let counts = popularity[layer]
    let order = counts.indices.sorted { (counts[$0], -$0) < (counts[$1], -$1) }
    var isCold = [Bool](repeating: false, count: counts.count)
    for expert in order.prefix(Int(Double(counts.count) * coldShare)) { isCold[expert] = true }
    return isCold
  }

  /// - Throws: `Failure(.mismatch)` when the profile is of a model of another shape.
  func check(_ catalog: TensorCatalog) throws(Failure) {
    let found = popularity.map(\.count)
    let wanted = catalog.expertLayers.map(\.expertCount)
    guard found == wanted else {
      throw Failure(
        .mismatch, "--profile",
        "counts \(found.count) layers of \(found.max() ?? 0) experts, and the model has "
          + "\(wanted.count) of \(wanted.max() ?? 0)",
        remedy: "Calibrate a store of the same model")
    }
  }

  /// The popularity in a profile, whatever weights it was made with: routing hardly depends on their
  /// precision.
  ///
  /// - Throws: `Failure` when the file holds no counts.
  public static func popularity(inProfile path: String) throws(Failure) -> [[Int]] {
    let file = FileSystem.isDirectory(path) ? path + "/" + Profile.fileName : path
    let json = try FileSystem.readJSON(file, limitBytes: 1 << 28)
    let rows = json["popularity"]?.array?.map { $0.array?.compactMap(\.integer) ?? [] } ?? []
    guard !rows.isEmpty, rows.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0 >= 0 } }) else {
      throw Failure(
        .malformed, file, at: "popularity", "must list how often each expert was chosen",
        remedy: "Make it with 'flashmoe calibrate'")
    }
    return rows
  }
}
