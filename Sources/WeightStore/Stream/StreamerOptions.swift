import Support

/// How records are streamed.  Nothing here changes a byte of what is delivered.
public struct StreamerOptions: Sendable {
  public var policy: CachePolicyKind
  /// Whether `prefetch` does anything.
  public var prefetch: Bool
  public var backend: ReadBackendKind
  public var direct: DirectMode
  /// Reads in flight; 0 chooses 64.
  public var queueDepth: Int
  /// Records are read in pieces of at most this many bytes, rounded down to 4 KiB.
  public var readBytes: Int
  /// Whether the first use of every record checks its checksum.
  public var verifyChecksums: Bool
  /// Where threads that read run; nil is where the thread that starts them does.
  public var serviceProcessors: CPUSet?
  @_spi(Testing) public var faults = ReadFaultPlan()

  public init(
    policy: CachePolicyKind = .foresight, prefetch: Bool = true, backend: ReadBackendKind = .auto,
    direct: DirectMode = .auto, queueDepth: Int = 0, readBytes: Int = 512 << 10,
    verifyChecksums: Bool = true, serviceProcessors: CPUSet? = nil
  ) {
    self.policy = policy
    self.prefetch = prefetch
    self.backend = backend
    self.direct = direct
    self.queueDepth = queueDepth
    self.readBytes = readBytes
    self.verifyChecksums = verifyChecksums
    self.serviceProcessors = serviceProcessors
  }

  var depth: Int { queueDepth <= 0 ? 64 : min(queueDepth, 4096) }

  var pieceBytes: Int {
    let unit = RecordLayout.alignment
    return min(max(readBytes / unit * unit, unit), 1 << 30)
  }
}

/// One expert whose bytes are there.
public struct Delivery: Sendable {
  /// Index into the request's experts.
  public let position: Int
  public let expert: Int
  /// The record, page-aligned; valid until `release(position)` or `end()`.
  nonisolated(unsafe) public let record: UnsafeRawPointer
  /// False when only the first section's bytes are there and not checked yet: the same position
  /// is delivered again when all are.
  public let isWhole: Bool
  /// No demand read was needed.
  public let wasHit: Bool
}

/// Counts since the start or the last reset.
///
/// `lookups == hits + hitsInFlight + misses`.
public struct StreamStatistics: Sendable, Equatable {
  /// Experts asked for and placed.
  public var lookups = 0
  /// Ready in the cache.
  public var hits = 0
  /// Being read already, by speculation or for a request that ended early.
  public var hitsInFlight = 0
  public var misses = 0
  /// Bytes that arrived for misses.
  public var demandBytes = 0
  /// Bytes that arrived for predictions.
  public var speculativeBytes = 0
  /// Of those, bytes of records that were demanded before they were evicted.
  public var speculativeUsedBytes = 0
  /// Bytes that arrived for the fill at start.
  public var warmBytes = 0
  /// Completions taken from the kernel, retried ones included.
  public var reads = 0
  /// Time `next` slept for bytes.
  public var waitNanoseconds: UInt64 = 0
  /// Time in which the disk had something to read for us.
  public var busyNanoseconds: UInt64 = 0
  /// Records that lost their slot to another.
  public var evictions = 0
  /// How often speculation suspended itself.
  public var prefetchSuspended = 0
  /// Lookups and hits (in flight or ready) of each layer.
  public var layerLookups: [Int] = []
  public var layerHits: [Int] = []

  public init() {}

  /// Share of lookups that needed no demand read.
  public var hitRate: Double {
    lookups == 0 ? 0 : Double(hits + hitsInFlight) / Double(lookups)
  }
}
