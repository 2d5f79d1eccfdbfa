/// Mean and spread of a stream of numbers in one pass (Welford, 1962).
public struct RunningMean: Sendable, Equatable {
  public private(set) var count = 0
  public private(set) var mean = 0.0
  public private(set) var maximum = -Double.infinity
  private var squares = 0.0

  public init() {}

  public init(_ values: some Sequence<Double>) {
    for value in values { add(value) }
  }

  public mutating func add(_ value: Double) {
    count += 1
    let distance = value - mean
    mean += distance / Double(count)
    squares += distance * (value - mean)
    maximum = max(maximum, value)
  }

  /// Sample standard deviation; 0 for fewer than two numbers.
  public var deviation: Double { count < 2 ? 0 : (squares / Double(count - 1)).squareRoot() }

  /// Of the mean, as if the numbers were independent.
  public var standardError: Double { count < 2 ? 0 : deviation / Double(count).squareRoot() }
}
