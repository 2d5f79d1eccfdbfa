import Support
import WeightStore

/// What tables say about a store in a few words.
public struct StoreSummary: Sendable, Equatable {
  public var name: String
  /// Schemes of the experts' matrices, then of the resident ones where they differ: `q4 + q8`.
  public var scheme: String
  /// Bytes of all weights, records that experts share as often as they are used.
  public var bytes: Int
  public var parameterCount: Int
  /// `Manifest.aliasNote`.
  public var aliasNote: String?
  /// Bits on disk for each parameter, scales and padding included.
  public var bitsPerWeight: Double {
    parameterCount == 0 ? 0 : Double(bytes) * 8 / Double(parameterCount)
  }

  public init(_ store: Store, _ configuration: ModelConfiguration) {
    let manifest = store.manifest
    var expertSchemes: Set<Scheme> = []
    for layer in manifest.layers {
      for section in layer.records.flatMap(\.sections) {
        if case .matrix(let matrix) = section.layout { expertSchemes.insert(matrix.scheme) }
      }
    }
    var residentSchemes: Set<Scheme> = []
    var parameters = 0
    for tensor in manifest.residents {
      switch tensor.layout {
      case .matrix(let matrix):
        residentSchemes.insert(matrix.scheme)
        parameters += matrix.rows * matrix.columns
      case .vector(let count): parameters += count
      }
    }
    // Records hold padded rows; the model's own sizes count.
    parameters +=
      manifest.recordCount * 3 * configuration.hiddenSize * configuration.experts.inner
    name = manifest.name
    bytes = manifest.expertBytes + manifest.residentBytes
    parameterCount = parameters
    aliasNote = manifest.aliasNote
    let groups = [expertSchemes, residentSchemes.subtracting(expertSchemes)]
    scheme = groups.compactMap { group in
      group.isEmpty ? nil : group.map(\.rawValue).sorted().joined(separator: "/")
    }.joined(separator: " + ")
  }
}
