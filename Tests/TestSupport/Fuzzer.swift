import Glibc
import Support

/// Feeds mutated inputs to a reader: a few thousand in every test run, or for as long as
/// `FLASHMOE_FUZZ_SECONDS` says.
///
/// A reader passes when it returns or throws `Failure`.  A crash ends the process; in a long run
/// the input that caused it is then in `FLASHMOE_FUZZ_DIRECTORY` (or the temporary directory)
/// as `fuzz-NAME.input`.
public struct Fuzzer {
  private let name: String
  private var mutator: Mutator

  public struct Outcome: Sendable {
    /// Inputs the reader took, and inputs it refused.
    public var accepted = 0
    public var refused = 0
  }

  public init(
    _ name: String, seeds: [[UInt8]], dictionary: [String] = [], seed: UInt64 = 1
  ) {
    self.name = name
    // Long runs explore; short ones repeat.
    let varied = Self.seconds == nil ? seed : Clock.nanoseconds()
    mutator = Mutator(seeds: seeds, dictionary: dictionary, seed: varied)
  }

  /// How long each reader is fuzzed, when the environment asks for it.
  public static var seconds: Double? {
    getenv("FLASHMOE_FUZZ_SECONDS").flatMap { Double(String(cString: $0)) }
  }

  /// - Parameter read: reads the input and checks what it got; any error but `Failure` fails.
  public mutating func run(iterations: Int, _ read: ([UInt8]) throws -> Void) throws -> Outcome {
    var outcome = Outcome()
    let start = Clock.nanoseconds()
    let seconds = Self.seconds
    while true {
      let done = outcome.accepted + outcome.refused
      if let seconds {
        if done % 64 == 0, Clock.seconds(since: start) > seconds { break }
      } else if done >= iterations {
        break
      }
      let input = mutator.next()
      if seconds != nil { try keep(input) }
      do {
        try read(input)
        outcome.accepted += 1
      } catch is Failure {
        outcome.refused += 1
      } catch {
        try keep(input)
        throw error
      }
    }
    if seconds != nil {
      print("fuzz \(name): \(outcome.accepted) inputs accepted, \(outcome.refused) refused")
    }
    return outcome
  }

  private func keep(_ input: [UInt8]) throws(Failure) {
    let directory =
      getenv("FLASHMOE_FUZZ_DIRECTORY") ?? getenv("TMPDIR")
    let path = (directory.map { String(cString: $0) } ?? "/tmp") + "/fuzz-\(name).input"
    let file = try File(path, .truncate)
    var failure: Failure?
    input.withUnsafeBytes { bytes in
      do throws(Failure) { try file.write(bytes, at: 0) } catch { failure = error }
    }
    if let failure { throw failure }
  }
}
