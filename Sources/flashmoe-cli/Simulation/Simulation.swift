import ArgumentParser
import FlashMoE
import Support
import Synchronization
import WeightStore

/// A policy by the name the command line gives it.
enum SimulatedPolicy: Hashable {
  case online(CachePolicyKind)
  case popularity
  case belady

  static let all = CachePolicyKind.allCases.map { Self.online($0) } + [.popularity, .belady]

  var name: String {
    switch self {
    case .online(let kind): kind.rawValue
    case .popularity: "popularity"
    case .belady: "belady"
    }
  }

  static func list(parsing text: String) throws -> [Self] {
    guard text != "all" else { return all }
    var policies: [Self] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let policy = all.first(where: { $0.name == word }) else {
        throw ValidationError(
          "--policy takes all, or names of " + all.map(\.name).joined(separator: ", "))
      }
      if !policies.contains(policy) { policies.append(policy) }
    }
    return policies
  }
}

/// Replays of traces over cache sizes, policies, with and without prediction.
struct Simulation: Sendable {
  struct Case: Sendable {
    var slots: Int
    var policy: SimulatedPolicy
    var prediction: Bool
    var outcome: CacheReplay.Outcome
    /// Share of the way from LRU's bytes to the optimum's; nil where there is no way.
    var gapClosed: Double?
  }

  let traces: [RoutingTrace]
  let sizes: [Int]
  let policies: [SimulatedPolicy]
  let predictions: [Bool]
  private(set) var cases: [Case] = []

  var recordCount: Int { traces.first?.recordCount ?? 0 }

  /// - Throws: `Failure(.cancelled)`.
  init(
    traces: [RoutingTrace], sizes: [Int], policies: [SimulatedPolicy], predictions: [Bool],
    popularity: [Double]?, warmupTokens: Int, isCancelled: @escaping @Sendable () -> Bool,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void
  ) throws(Failure) {
    self.traces = traces
    self.sizes = sizes
    self.policies = policies.filter { $0 != .popularity || popularity != nil }
    self.predictions = predictions
    let replays = traces.map(CacheReplay.init)
    // What the gap is measured against is replayed whether it was asked for or not.
    var wanted = self.policies
    for needed in [SimulatedPolicy.online(.lru), .belady] where !wanted.contains(needed) {
      wanted.append(needed)
    }
    var jobs: [Case] = []
    for slots in sizes {
      for prediction in predictions {
        for policy in wanted {
          jobs.append(
            Case(slots: slots, policy: policy, prediction: prediction, outcome: .init()))
        }
      }
    }
    let planned = jobs
    let done = try Self.run(count: planned.count, isCancelled, progress) { at in
      let job = planned[at]
      // The optimum knows what comes: prediction adds nothing.
      let options = CacheReplay.Options(
        slotCount: job.slots, prediction: job.prediction && job.policy != .belady,
        warmupTokens: warmupTokens)
      return replays.reduce(CacheReplay.Outcome()) { sum, replay in
        sum + replay.run(job.policy.replayed(popularity: popularity), options)
      }
    }
    for (at, outcome) in done.enumerated() { jobs[at].outcome = outcome }
    cases = Self.judged(jobs).filter { self.policies.contains($0.policy) }
  }

  private static func judged(_ jobs: [Case]) -> [Case] {
    jobs.map { job in
      func bytes(_ policy: SimulatedPolicy) -> Int {
        jobs.first {
          $0.policy == policy && $0.slots == job.slots && $0.prediction == job.prediction
        }?.outcome.readBytes ?? 0
      }
      var job = job
      let (lru, optimum) = (bytes(.online(.lru)), bytes(.belady))
      if lru > optimum {
        job.gapClosed = Double(lru - job.outcome.readBytes) / Double(lru - optimum)
      }
      return job
    }
  }

  /// Outcomes of jobs spread over the processors.
  private static func run(
    count: Int, _ isCancelled: @escaping @Sendable () -> Bool,
    _ progress: @escaping @Sendable (Int, Int) -> Void,
    _ job: @escaping @Sendable (Int) -> CacheReplay.Outcome
  ) throws(Failure) -> [CacheReplay.Outcome] {
    let pool = try WorkerPool(
      threadCount: max(1, min(EngineOptions.processorCount, count)), cpus: nil)
    let outcomes = Mutex(Array(repeating: CacheReplay.Outcome(), count: count))
    let next = Atomic<Int>(0)
    let done = Atomic<Int>(0)
    pool.run { _ in
      while !isCancelled() {
        let at = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard at < count else { return }
        let outcome = job(at)
        outcomes.withLock { $0[at] = outcome }
        progress(done.wrappingAdd(1, ordering: .relaxed).newValue, count)
      }
    }
    guard done.load(ordering: .relaxed) == count else {
      throw Failure(.cancelled, "simulation", "interrupted")
    }
    return outcomes.withLock { $0 }
  }
}

extension SimulatedPolicy {
  fileprivate func replayed(popularity: [Double]?) -> CacheReplay.Policy {
    switch self {
    case .online(let kind): .online(kind)
    case .popularity: .popularity(popularity ?? [])
    case .belady: .optimum
    }
  }
}
