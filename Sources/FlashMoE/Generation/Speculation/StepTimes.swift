/// What a step of several rows takes, as a multiple of a plain step: measured, disk included.
struct StepTimes {
  /// Share of a new measurement in a moving average.
  private static let share = 0.2
  /// Plain steps to see before anything is compared with them.
  private static let plainNeeded = 4
  /// The disk stutters: one measurement counts no more than this many times the average.
  private static let outlier = 4.0

  /// Moving average of a plain step, nanoseconds, and how many there were.
  private var plain = 0.0
  private var plainCount = 0
  /// [rows] moving average of the multiple, and how much it still counts: 1 just measured, fading
  /// with every other measurement.
  private var multiples: [Double]
  private var weights: [Double]
  /// What each further row adds, over all numbers of rows.
  private var slope: Double
  private var slopeCount = 0

  /// - Parameter slope: what a row is believed to add before anything was measured, in plain steps.
  init(slope: Double) {
    self.slope = slope
    multiples = Array(repeating: 1, count: Speculation.draftLimit + 2)
    weights = Array(repeating: 0, count: Speculation.draftLimit + 2)
  }

  /// Whether a step of several rows can be compared with a plain one.
  var isReady: Bool { plainCount >= Self.plainNeeded }

  mutating func measured(rows: Int, nanoseconds: UInt64) {
    let time = Double(nanoseconds)
    if rows == 1 {
      Self.average(&plain, time, count: &plainCount)
    } else if isReady, plain > 0, rows < multiples.count {
      let multiple = min(time / plain, Self.outlier * self.multiple(rows: rows))
      Self.average(&slope, max(0, multiple - 1) / Double(rows - 1), count: &slopeCount)
      for at in weights.indices { weights[at] *= 0.98 }
      multiples[rows] =
        weights[rows] > 0.1
        ? multiples[rows] + Self.share * (multiple - multiples[rows]) : multiple
      weights[rows] = 1 + weights[rows] * (1 - Self.share)
    }
  }

  /// Time of a step of `rows` rows in plain steps; what was not measured lately leans on a line.
  func multiple(rows: Int) -> Double {
    guard rows > 1 else { return 1 }
    let line = 1 + slope * Double(rows - 1)
    guard rows < multiples.count else { return line }
    return (weights[rows] * multiples[rows] + line) / (weights[rows] + 1)
  }

  /// The first few measurements count alike, later ones by `share`.
  private static func average(_ mean: inout Double, _ value: Double, count: inout Int) {
    count += 1
    let bounded = count > 4 ? min(value, outlier * mean) : value
    mean += max(share, 1 / Double(count)) * (bounded - mean)
  }
}
