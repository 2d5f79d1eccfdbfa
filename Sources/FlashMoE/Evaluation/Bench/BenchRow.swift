import Support
import WeightStore

/// The repetitions of one test with one state of the cache.
public struct BenchRow: Sendable {
  public var test: BenchTest
  public var cache: BenchCache
  /// `text` or `random`.
  public var tokenKind: String
  /// Whether the text was too short and came around again.
  public var repeatsText: Bool
  /// One entry a repetition, each from an empty context.
  public var samples: [GenerationSummary.Stage]
  /// The process's peak when the row was done.
  public var peakBytes: Int

  /// Tokens per second over the repetitions.
  public var rate: RunningMean { RunningMean(samples.map(\.tokensPerSecond)) }
  public var tokenCount: Int { samples.reduce(0) { $0 + $1.tokens } }
  public var seconds: Double { samples.reduce(0) { $0 + $1.seconds } }
  public var lookups: Int { samples.reduce(0) { $0 + $1.streaming.lookups } }
  public var hits: Int {
    samples.reduce(0) { $0 + $1.streaming.hits + $1.streaming.hitsInFlight }
  }
  /// Bytes that came from the disk, speculation included.
  public var readBytes: Int {
    samples.reduce(0) { $0 + $1.streaming.demandBytes + $1.streaming.speculativeBytes }
  }
  /// Share of expert look-ups that needed no read of their own; nil without routed experts.
  public var hitRate: Double? { lookups == 0 ? nil : Double(hits) / Double(lookups) }
  public var bytesPerToken: Double {
    tokenCount == 0 ? 0 : Double(readBytes) / Double(tokenCount)
  }
  public var readBytesPerSecond: Double { seconds > 0 ? Double(readBytes) / seconds : 0 }
  /// Bytes per second of the time in which reads were in flight: what the disk gave when asked.
  public var busyBytesPerSecond: Double {
    let busy = samples.reduce(0) { $0 + Double($1.streaming.busyNanoseconds) } / 1e9
    return busy > 0 ? Double(readBytes) / busy : 0
  }
  /// Share of the time in which the engine had nothing to do but wait for bytes.
  public var waitShare: Double {
    let times = phases
    return times.total == 0 ? 0 : Double(times.inputOutputWait) / Double(times.total)
  }

  /// Drafts of all repetitions together.
  public var speculation: SpeculationStatistics {
    samples.reduce(into: SpeculationStatistics()) { $0.add($1.speculation) }
  }

  /// Times of all repetitions together.
  public var phases: PhaseTimes {
    var sum = PhaseTimes()
    for sample in samples {
      sum.attention &+= sample.times.attention
      sum.router &+= sample.times.router
      sum.inputOutputWait &+= sample.times.inputOutputWait
      sum.experts &+= sample.times.experts
      sum.head &+= sample.times.head
      sum.total &+= sample.times.total
    }
    return sum
  }
}

extension PhaseTimes {
  /// Norms, embeddings and bookkeeping.
  public var other: UInt64 {
    let named = attention + router + inputOutputWait + experts + head
    return total > named ? total - named : 0
  }

  /// All phases by name, in the order of a layer.
  public var named: [(name: String, nanoseconds: UInt64)] {
    [
      ("attention", attention), ("router", router), ("io_wait", inputOutputWait),
      ("experts", experts), ("head", head), ("other", other),
    ]
  }
}
