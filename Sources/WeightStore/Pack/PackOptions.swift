import Glibc
import Support

/// How a pack is carried out; none of it changes the store's bytes.
public struct PackOptions: Sendable {
  /// One more than there are cores, so that one thread's disk wait is another's computing.
  public var threadCount: Int
  /// Replaces a store that already has the name.
  public var overwrites: Bool
  /// Throws an unfinished pack of something else under the same name away.
  public var discardsPartial: Bool
  /// Source files that come while packing; nil where all are there.
  public var supply: (any SourceSupply)?
  /// Asked between units; true stops with `Failure(.cancelled)` and keeps what is done.
  public var isCancelled: @Sendable () -> Bool

  public init(
    threadCount: Int = PackOptions.defaultThreadCount, overwrites: Bool = false,
    discardsPartial: Bool = false, isCancelled: @escaping @Sendable () -> Bool = { false }
  ) {
    self.threadCount = max(1, threadCount)
    self.overwrites = overwrites
    self.discardsPartial = discardsPartial
    self.isCancelled = isCancelled
  }

  public static var defaultThreadCount: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) + 1 }

  // What tests put in the packer's way.
  var freeBytes: @Sendable (String) throws(Failure) -> Int = FileSystem.freeBytes
  var beforeWrite: @Sendable (_ unit: Int, _ path: String) throws(Failure) -> Void = { _, _ in }
  var afterUnit: @Sendable (_ unit: Int) throws(Failure) -> Void = { _ in }
  var unitBytes = PackUnits.defaultUnitBytes
}

/// How far a pack or a verification is.
public struct PackProgress: Sendable {
  /// Bytes of the source dealt with, of all there are.
  public var sourceBytes: Int
  public var totalSourceBytes: Int
  /// Bytes of the store that are there, of all there will be.
  public var storeBytes: Int
  public var totalStoreBytes: Int
  /// Source bytes an earlier, interrupted pack had dealt with.
  public var resumedSourceBytes: Int
  public var seconds: Double

  /// Source bytes a second in this run.
  public var bytesPerSecond: Double {
    seconds > 0 ? Double(sourceBytes - resumedSourceBytes) / seconds : 0
  }

  /// Nil until there is a rate to judge by.
  public var secondsLeft: Double? {
    let rate = bytesPerSecond
    return rate > 0 ? Double(totalSourceBytes - sourceBytes) / rate : nil
  }
}

/// What quantizing cost, for all tensors of one kind in one scheme.
public struct QuantizationError: Sendable, Equatable {
  public enum Part: String, Sendable {
    case experts, residents
  }
  public var part: Part
  public var scheme: Scheme
  /// Weights in all, and those whose exact value is kept.
  public var weights: Int
  public var exactWeights: Int
  /// Sum of squared errors over sum of squares, of the weights that are not exact.
  public var relativeSquaredError: Double
}

/// What became of all tensors of one kind that came in one format: a line of `pack --report`.
public struct TensorClassError: Sendable, Equatable {
  /// `experts gate_up`, `attention`, …
  public var tensorClass: String
  /// The formats of the source's rows.
  public var formats: [SourceFormat]
  public var scheme: Scheme
  public var weights: Int
  /// Whether every number has its own value in the store.
  public var isExact: Bool
  /// Root mean square error over root mean square weight.
  public var relativeError: Double
  /// Greatest error over root mean square weight.
  public var greatestError: Double
}

public struct PackResult: Sendable {
  public var path: String
  public var sourceBytes: Int
  /// Source bytes that an earlier, interrupted pack had dealt with.
  public var resumedSourceBytes: Int
  public var storeBytes: Int
  public var seconds: Double
  public var errors: [QuantizationError]
  public var classes: [TensorClassError]
  public var warnings: [String]
}
