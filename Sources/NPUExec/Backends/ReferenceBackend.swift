import CKernels
import Glibc
import Support
import WeightStore

/// The backend that defines the answer: plain loops in double precision over unpacked weights.
///
/// It is slow on purpose and shares no arithmetic with the kernels it is compared to.
public final class ReferenceBackend: ExpertBackend {
  public struct Prepared { public let plan: TilePlan }
  /// Work is done in `submit`; there is nothing to wait for.
  public struct Ticket {}

  public let capabilities = BackendCapabilities(
    name: "reference", tiers: [16, 32, 64, 128, 256], maximumGroupSize: 16,
    schemes: Set(Scheme.allCases), maximumInFlight: 1, isAccelerator: false)

  public init() {}

  public func prepare(_ plan: TilePlan) throws(Failure) -> Prepared {
    if let objection = capabilities.objection(to: plan) {
      throw Failure(.unsupported, capabilities.name, objection)
    }
    return Prepared(plan: plan)
  }

  public func submit(_ tiles: [Tile], to prepared: Prepared) throws(Failure) -> Ticket {
    try check(tiles, against: prepared.plan)
    for tile in tiles { compute(tile, prepared.plan.geometry) }
    return Ticket()
  }

  public func wait(_ ticket: Ticket) throws(Failure) {}

  private func compute(_ tile: Tile, _ geometry: ExpertGeometry) {
    let gateUp = unpack(geometry.gateUp, at: tile.record + geometry.gateUpOffset)
    let down = unpack(geometry.down, at: tile.record + geometry.downOffset)
    let hidden = geometry.hidden
    let inner = geometry.inner
    var activated = [Double](repeating: 0, count: inner)
    for row in 0..<tile.rows {
      let input = tile.input + row * hidden
      for unit in 0..<inner {
        // Blocked pairs: 16 gate rows, then the 16 up rows that belong to them.
        let gateRow = unit / 16 * 32 + unit % 16
        let gate = dot(gateUp, gateRow, hidden, input)
        let up = dot(gateUp, gateRow + 16, hidden, input)
        activated[unit] = gate / (1 + exp(-gate)) * up
      }
      for column in 0..<hidden {
        var sum = 0.0
        for unit in 0..<inner { sum += Double(down[column * inner + unit]) * activated[unit] }
        tile.output[row * hidden + column] = Float(sum)
      }
    }
  }

  private func dot(_ matrix: [Float], _ row: Int, _ columns: Int, _ input: UnsafePointer<Float>)
    -> Double
  {
    var sum = 0.0
    for column in 0..<columns {
      sum += Double(matrix[row * columns + column]) * Double(input[column])
    }
    return sum
  }

  /// [rows][columns] in f32.
  private func unpack(_ layout: MatrixLayout, at data: UnsafeRawPointer) -> [Float] {
    var values = [Float](repeating: 0, count: layout.rows * layout.columns)
    values.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      for block in 0..<layout.blockCount {
        let first = block * MatrixLayout.blockRows
        fm_unpack_block(
          layout.scheme.kernelScheme, data + block * layout.blockBytes, layout.columns,
          min(MatrixLayout.blockRows, layout.rows - first), base + first * layout.columns,
          layout.columns)
      }
    }
    return values
  }
}
