import Support
import Synchronization
import WeightStore

/// Adds up the squares of what every expert's matrices are multiplied with.
public final class ImportanceRecorder: Sendable {
  /// Squares [layer][expert][columns], rows [layer][expert].
  private struct Sums {
    var gateUp: [Float]
    var down: [Float]
    var rows: [Float]
  }

  private let layers: [Int]
  private let expertCount: Int
  private let hidden: Int
  private let inner: Int
  private let sums: Mutex<Sums>

  /// Bytes that a recorder of such a store holds.
  public static func bytes(_ store: Store, _ configuration: ModelConfiguration) -> Int {
    4 * store.manifest.recordCount * (configuration.hiddenSize + configuration.experts.inner + 1)
  }

  public init(_ store: Store, _ configuration: ModelConfiguration) {
    layers = store.manifest.layers.map(\.layer)
    expertCount = configuration.experts.count
    hidden = configuration.hiddenSize
    inner = configuration.experts.inner
    let records = layers.count * expertCount
    sums = Mutex(
      Sums(
        gateUp: Array(repeating: 0, count: records * hidden),
        down: Array(repeating: 0, count: records * inner),
        rows: Array(repeating: 0, count: records)))
  }

  func add(_ seen: ExpertRows) {
    let record = seen.storeLayer * expertCount + seen.expert
    sums.withLock { sums in
      sums.rows[record] += Float(seen.tokens.count)
      for (row, token) in seen.tokens.enumerated() {
        Self.add(&sums.gateUp, record, hidden, seen.input.values + Int(token) * seen.input.stride)
        Self.add(&sums.down, record, inner, seen.activated.values + row * seen.activated.stride)
      }
    }
  }

  private static func add(
    _ sums: inout [Float], _ record: Int, _ width: Int, _ line: UnsafeMutablePointer<Float>
  ) {
    sums.withUnsafeMutableBufferPointer { sums in
      for column in 0..<width { sums[record * width + column] += line[column] * line[column] }
    }
  }

  /// Writes the means, in the form that `pack --importance` reads.
  public func write(to path: String) throws(Failure) {
    var tensors: [SafetensorsWriter.Tensor] = []
    for layer in layers {
      tensors.append(.f32("layers.\(layer).gate_up", [expertCount, hidden]))
      tensors.append(.f32("layers.\(layer).down", [expertCount, inner]))
      tensors.append(.f32("layers.\(layer).rows", [expertCount]))
    }
    var writer = try SafetensorsWriter(
      path, tensors: tensors, metadata: [("kind", Importance.kind)])
    for at in layers.indices {
      for (tensor, values) in means(at).enumerated() {
        let bytes = values.withUnsafeBytes { Array($0) }
        var failure: Failure?
        bytes.withUnsafeBytes { buffer in
          do throws(Failure) { try writer.write(buffer, to: 3 * at + tensor, at: 0) } catch {
            failure = error
          }
        }
        if let failure { throw failure }
      }
    }
    try writer.finish()
  }

  /// A layer's three tensors.
  private func means(_ layer: Int) -> [[Float]] {
    let records = layer * expertCount..<(layer + 1) * expertCount
    return sums.withLock { sums in
      func mean(_ values: [Float], _ width: Int) -> [Float] {
        records.flatMap { record in
          values[record * width..<(record + 1) * width].map { $0 / max(sums.rows[record], 1) }
        }
      }
      return [mean(sums.gateUp, hidden), mean(sums.down, inner), Array(sums.rows[records])]
    }
  }
}

/// Rows that an expert has just computed.
struct ExpertRows {
  var storeLayer: Int
  var expert: Int
  /// The token of each row.
  var tokens: UnsafeBufferPointer<Int32>
  /// [token][H]
  var input: Activations
  /// [row][inner]
  var activated: Activations
}
