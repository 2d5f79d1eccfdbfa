import Support

/// What the expert cache holds when a measurement starts.
public enum BenchCache: String, Sendable, CaseIterable {
  /// Nothing, before every repetition; the page cache holds nothing of the store either.
  case cold
  /// What the run before left there; the first run is not counted.
  case warm
}

/// What to measure.
public struct BenchOptions: Sendable {
  /// Tokens of each prefill test (`pp`).
  public var promptLengths: [Int]
  /// Tokens of each decode test (`tg`).
  public var generationLengths: [Int]
  public var repetitions: Int
  public var caches: [BenchCache]
  /// Whether decode tests draft; off, as what other programs measure is plain steps.
  public var speculation: Speculation
  public var draftLimit: Int

  public init(
    promptLengths: [Int] = [512], generationLengths: [Int] = [128], repetitions: Int = 3,
    caches: [BenchCache] = BenchCache.allCases, speculation: Speculation = .off,
    draftLimit: Int = Speculation.draftLimit
  ) {
    self.promptLengths = promptLengths
    self.generationLengths = generationLengths
    self.repetitions = repetitions
    self.caches = caches
    self.speculation = speculation
    self.draftLimit = draftLimit
  }

  /// The tests in the order in which they run; lengths of 0 switch a kind off.
  public var tests: [BenchTest] {
    promptLengths.filter { $0 > 0 }.map { BenchTest(kind: .prefill, tokens: $0) }
      + generationLengths.filter { $0 > 0 }.map { BenchTest(kind: .decode, tokens: $0) }
  }

  /// Positions the context must have.
  public var contextLength: Int { tests.map(\.tokens).max() ?? 0 }

  /// - Throws: `Failure(.usage)` when there is nothing to do.
  public func validated() throws(Failure) -> BenchOptions {
    if let bad = (promptLengths + generationLengths).first(where: { $0 < 0 }) {
      throw Failure(.usage, "-p and -n", "\(bad); lengths cannot be negative")
    }
    guard !tests.isEmpty, !caches.isEmpty else {
      throw Failure(.usage, "-p and -n", "there is no test to run", remedy: "Use -p 512 -n 128")
    }
    guard repetitions >= 1 else {
      throw Failure(.usage, "-r", "\(repetitions); it must be at least 1")
    }
    try Speculation.validate(draftLimit: draftLimit)
    return self
  }
}

/// One test: so many tokens at once, or one after the other.
public struct BenchTest: Sendable, Equatable {
  public enum Kind: Sendable {
    case prefill, decode
  }
  public var kind: Kind
  public var tokens: Int

  /// As llama-bench names them: `pp512`, `tg128`.
  public var name: String { (kind == .prefill ? "pp" : "tg") + "\(tokens)" }
}
