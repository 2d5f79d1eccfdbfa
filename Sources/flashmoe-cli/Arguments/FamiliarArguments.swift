import ArgumentParser
import FlashMoE

extension KeyValueType: ExpressibleByArgument {
  /// llama.cpp's `q8_0` is the same idea, and its users type it.
  public init?(argument: String) { self.init(rawValue: argument == "q8_0" ? "q8" : argument) }

  /// What q8 costs, as measured (docs/quantization.md).
  static let cost =
    "q8 is lossy: mean KL 0.0011 nats a token,"
    + " perplexity +0.02 % on the demo model."
}

/// Names that users of llama.cpp know.  They work and are not listed: `--kv` says the same.
struct FamiliarArguments: ParsableArguments {
  @Option(name: [.customLong("cache-type-k"), .customLong("ctk", withSingleDash: true)])
  var keyType: KeyValueType?

  @Option(name: [.customLong("cache-type-v"), .customLong("ctv", withSingleDash: true)])
  var valueType: KeyValueType?

  var keyValueType: KeyValueType? { keyType ?? valueType }

  /// Keys and values have one type here; asking for two is refused, not decided silently.
  func check(against wanted: KeyValueType?) throws {
    let named = [wanted, keyType, valueType].compactMap { $0 }
    guard named.allSatisfy({ $0 == named[0] }) else {
      throw ValidationError("keys and values have one type: give --kv once")
    }
  }
}
