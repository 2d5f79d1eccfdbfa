import Support
import WeightStore

/// What a backend can do, so that planners ask instead of trying.
public struct BackendCapabilities: Sendable {
  public var name: String
  /// Static row counts it can compile, ascending.
  public var tiers: [Int]
  public var maximumGroupSize: Int
  public var schemes: Set<Scheme>
  /// Submissions that may be in flight together.
  public var maximumInFlight: Int
  /// False where a CPU stands in: such a run is called CPU, never NPU.
  public var isAccelerator: Bool

  public init(
    name: String, tiers: [Int], maximumGroupSize: Int, schemes: Set<Scheme>, maximumInFlight: Int,
    isAccelerator: Bool
  ) {
    self.name = name
    self.tiers = tiers
    self.maximumGroupSize = maximumGroupSize
    self.schemes = schemes
    self.maximumInFlight = maximumInFlight
    self.isAccelerator = isAccelerator
  }

  /// Why a plan cannot be run here; nil when it can.
  public func objection(to plan: TilePlan) -> String? {
    for layout in [plan.geometry.gateUp, plan.geometry.down] where !schemes.contains(layout.scheme)
    {
      return "scheme \(layout.scheme.rawValue) is not supported"
    }
    if !tiers.contains(plan.tierRows) { return "no tier of \(plan.tierRows) rows" }
    if plan.groupSize < 1 || plan.groupSize > maximumGroupSize {
      return "groups of \(plan.groupSize) where at most \(maximumGroupSize) are supported"
    }
    return nil
  }
}

/// A matrix engine that computes whole experts: down(silu(gate(x)) · up(x)) for tiles of rows.
///
/// A backend never decides what is computed: every tile it accepts is computed in full, rows are
/// never dropped, and padding never reaches an output.
public protocol ExpertBackend: AnyObject {
  associatedtype Prepared
  associatedtype Ticket

  var capabilities: BackendCapabilities { get }

  /// Compiles a plan.
  /// - Throws: `Failure(.unsupported)` with the objection, or what compiling says.
  func prepare(_ plan: TilePlan) throws(Failure) -> Prepared

  /// Starts the tiles of one group; records, inputs and outputs stay valid until `wait` returns.
  /// - Throws: `Failure(.usage)` for tiles that do not fit the plan.
  func submit(_ tiles: [Tile], to prepared: Prepared) throws(Failure) -> Ticket

  /// Returns when all outputs of a submission are written.
  func wait(_ ticket: Ticket) throws(Failure)
}

extension ExpertBackend {
  /// The checks every backend makes before it touches a tile.
  public func check(_ tiles: [Tile], against plan: TilePlan) throws(Failure) {
    guard !tiles.isEmpty, tiles.count <= plan.groupSize else {
      throw Failure(
        .usage, capabilities.name, "\(tiles.count) tiles where a group holds 1 to \(plan.groupSize)"
      )
    }
    for tile in tiles where tile.rows < 1 || tile.rows > plan.tierRows {
      throw Failure(
        .usage, capabilities.name, "a tile of \(tile.rows) rows where the tier has \(plan.tierRows)"
      )
    }
  }
}
