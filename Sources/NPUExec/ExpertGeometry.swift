import WeightStore

/// The shape of an expert as a backend sees it: two blocked matrices inside one record.
///
/// Plans are compiled for a geometry, never for an expert: weights are inputs, bound to the slots
/// the streamer fills, so residency is a question of slots and not of loaded graphs.
public struct ExpertGeometry: Sendable, Hashable {
  /// [2·pad16(inner)][hidden] as blocked pairs of gate and up rows.
  public let gateUp: MatrixLayout
  public let gateUpOffset: Int
  /// [hidden][inner]
  public let down: MatrixLayout
  public let downOffset: Int
  public let inner: Int

  public var hidden: Int { down.rows }

  /// nil unless the record holds a SwiGLU expert whose matrices fit each other.
  public init?(_ record: RecordLayout) {
    guard let gateUp = record.section("gate_up"), let down = record.section("down"),
      case .matrix(let gateUpLayout) = gateUp.layout, case .matrix(let downLayout) = down.layout,
      gateUpLayout.rows == RecordLayout.pairedRows(downLayout.columns),
      gateUpLayout.columns == downLayout.rows
    else { return nil }
    self.gateUp = gateUpLayout
    gateUpOffset = gateUp.offset
    self.down = downLayout
    downOffset = down.offset
    inner = downLayout.columns
  }
}

/// What is compiled once and executed many times: a geometry at one static row count.
public struct TilePlan: Sendable, Hashable {
  public let geometry: ExpertGeometry
  /// Rows of every tile; shorter tiles are padded by the backend.
  public let tierRows: Int
  /// Tiles of different experts that one submission may hold.
  public let groupSize: Int

  public init(geometry: ExpertGeometry, tierRows: Int, groupSize: Int) {
    self.geometry = geometry
    self.tierRows = tierRows
    self.groupSize = groupSize
  }
}

/// One expert's rows: where the record, the input and the output lie.
public struct Tile {
  /// Start of the record in its slot.
  public var record: UnsafeRawPointer
  /// [rows][hidden] f32
  public var input: UnsafePointer<Float>
  /// [rows][hidden] f32, written by `wait`
  public var output: UnsafeMutablePointer<Float>
  /// 1 … `tierRows`
  public var rows: Int

  public init(
    record: UnsafeRawPointer, input: UnsafePointer<Float>, output: UnsafeMutablePointer<Float>,
    rows: Int
  ) {
    self.record = record
    self.input = input
    self.output = output
    self.rows = rows
  }
}
