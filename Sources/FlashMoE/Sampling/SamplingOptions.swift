import Support

/// How the next token is drawn; names and order follow llama.cpp.
///
/// The chain: repetition, presence and frequency penalties; top-k; top-p; min-p; temperature;
/// one draw.  A temperature of 0 takes the largest logit after penalties.
public struct SamplingOptions: Sendable, Equatable {
  public var temperature: Float = 0
  /// Keep the k most likely tokens; 0 keeps all.
  public var topK: Int = 0
  /// Keep the smallest set whose probability reaches p; 1 keeps all.
  public var topP: Float = 1
  /// Keep tokens at least p times as likely as the best; 0 keeps all.
  public var minP: Float = 0
  /// Divides positive and multiplies negative logits of recent tokens; 1 does nothing.
  public var repetitionPenalty: Float = 1
  /// Subtracted once from tokens that occurred, and once per occurrence.
  public var presencePenalty: Float = 0
  public var frequencyPenalty: Float = 0
  /// How many recent tokens penalties look at; 0 looks at none, -1 at all.
  public var penaltyWindow: Int = 64
  /// The same seed, prompt and options give the same text; nil draws a seed.
  public var seed: UInt64?

  public init() {}

  public static let greedy = SamplingOptions()

  var penalizes: Bool {
    penaltyWindow != 0
      && (repetitionPenalty != 1 || presencePenalty != 0 || frequencyPenalty != 0)
  }

  /// - Throws: `Failure(.usage)` naming the flag whose value makes no sense.
  public func validated() throws(Failure) -> SamplingOptions {
    func check(_ holds: Bool, _ flag: String, _ range: String) throws(Failure) {
      guard holds else { throw Failure(.usage, flag, "must be \(range)") }
    }
    try check(temperature >= 0 && temperature.isFinite, "--temp", "a number, 0 or more")
    try check(topK >= 0, "--top-k", "0 or more")
    try check(topP > 0 && topP <= 1, "--top-p", "above 0 and at most 1")
    try check(minP >= 0 && minP <= 1, "--min-p", "from 0 to 1")
    try check(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "--repeat-penalty", "above 0")
    try check(presencePenalty.isFinite, "--presence-penalty", "a number")
    try check(frequencyPenalty.isFinite, "--frequency-penalty", "a number")
    try check(penaltyWindow >= -1, "--repeat-last-n", "-1 or more")
    return self
  }
}
