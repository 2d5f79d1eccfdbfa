/// Replays a trace against a cache: what would have been read, without reading anything.
///
/// It drives the engine's own `ExpertCache`, with reads that land at once.  `docs/caching.md` says
/// what that leaves out.
public struct CacheReplay: Sendable {
  /// Who decides what leaves.
  public enum Policy: Sendable {
    case online(CachePolicyKind)
    /// Of every record, through all layers.
    case popularity([Double])
    /// Belady's optimum, over all slots: partitions are for policies that do not know the future.
    case optimum
  }

  public struct Options: Sendable {
    /// At least the experts of a token.
    public var slotCount: Int
    /// Whether predicted records are read.
    public var prediction: Bool
    /// Tokens that only warm the cache.
    public var warmupTokens: Int

    public init(slotCount: Int, prediction: Bool = false, warmupTokens: Int = 0) {
      self.slotCount = slotCount
      self.prediction = prediction
      self.warmupTokens = warmupTokens
    }
  }

  /// Counts over the decoded tokens after the warm-up; prompts only shape the cache.
  public struct Outcome: Sendable, Equatable {
    public var tokens = 0
    public var lookups = 0
    public var hits = 0
    public var misses: Int { lookups - hits }
    /// Bytes of records read because a router asked for them.
    public var demandBytes = 0
    /// Bytes of records read because they were predicted.
    public var speculativeBytes = 0
    /// Of those, bytes of records that were asked for before they were evicted.
    public var speculativeUsedBytes = 0
    /// How often prediction suspended itself.
    public var suspensions = 0
    public var readBytes: Int { demandBytes + speculativeBytes }
    public var hitRate: Double { lookups == 0 ? 0 : Double(hits) / Double(lookups) }

    public init() {}

    public static func + (left: Self, right: Self) -> Self {
      var sum = left
      sum.tokens += right.tokens
      sum.lookups += right.lookups
      sum.hits += right.hits
      sum.demandBytes += right.demandBytes
      sum.speculativeBytes += right.speculativeBytes
      sum.speculativeUsedBytes += right.speculativeUsedBytes
      sum.suspensions += right.suspensions
      return sum
    }
  }

  private let trace: RoutingTrace
  private let layerExperts: [Int]

  public init(_ trace: RoutingTrace) {
    self.trace = trace
    layerExperts = trace.layerExperts
  }

  /// Replays the whole trace from an empty cache.
  public func run(_ policy: Policy, _ options: Options) -> Outcome {
    precondition(options.slotCount >= trace.expertsPerToken)
    switch policy {
    case .online(let kind):
      return run(
        SelectedPolicy(
          kind, layerExperts: layerExperts, expertsPerToken: trace.expertsPerToken,
          slotCount: options.slotCount), options)
    case .popularity(let popularity):
      precondition(popularity.count == trace.recordCount)
      return run(StaticPopularity(popularity), options)
    case .optimum:
      return run(
        Optimum(recordCount: trace.recordCount, requests: requests()), options, partitioned: false)
    }
  }

  private func run<Policy: CachePolicy>(
    _ policy: Policy, _ options: Options, partitioned: Bool = true
  ) -> Outcome {
    // A partition over one layer is none.
    let partition = CachePartition(
      slotCount: options.slotCount,
      layerExperts: partitioned ? layerExperts : [trace.recordCount],
      expertsPerToken: trace.expertsPerToken)
    var pass = ReplayPass(
      trace: trace,
      cache: ExpertCache(partition: partition, layerExperts: layerExperts, policy: policy),
      prediction: options.prediction && options.slotCount > trace.expertsPerToken)
    var first = 0
    for run in trace.steps {
      for _ in 0..<run.count {
        pass.step(first..<first + run.rows, counts: run.rows == 1 && first >= options.warmupTokens)
        first += run.rows
      }
    }
    return pass.outcome
  }

  /// The records of every request in the order of the replay.
  private func requests() -> [[Int32]] {
    var bases = [0]
    for count in layerExperts { bases.append(bases[bases.count - 1] + count) }
    var requests: [[Int32]] = []
    var first = 0
    for run in trace.steps {
      for _ in 0..<run.count {
        for layer in layerExperts.indices {
          let experts = trace.experts(of: first..<first + run.rows, layer: layer)
          requests.append(experts.map { Int32(bases[layer]) + $0 })
        }
        first += run.rows
      }
    }
    return requests
  }
}
