import ArgumentParser
import FlashMoE
import Support

/// How the next token is drawn; names and order follow llama.cpp.
struct SamplingArguments: ParsableArguments {
  @Option(
    name: .customLong("temp"),
    help: ArgumentHelp("Temperature; 0 always takes the likeliest token.", valueName: "t"))
  var temperature: Float = 0

  @Option(help: ArgumentHelp("Keep the k likeliest tokens; 0 keeps all.", valueName: "k"))
  var topK = 0

  @Option(help: ArgumentHelp("Keep the likeliest tokens up to probability p.", valueName: "p"))
  var topP: Float = 1

  @Option(
    help: ArgumentHelp("Keep tokens at least p times as likely as the best.", valueName: "p"))
  var minP: Float = 0

  @Option(
    name: .customLong("repeat-penalty"),
    help: ArgumentHelp("Makes recent tokens less likely; 1 does nothing.", valueName: "x"))
  var repetitionPenalty: Float = 1

  @Option(
    name: .customLong("repeat-last-n"), parsing: .unconditional,
    help: ArgumentHelp("Recent tokens that penalties look at; -1 is all.", valueName: "n"))
  var penaltyWindow = 64

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Subtracted once from tokens that occurred.", valueName: "x"))
  var presencePenalty: Float = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Subtracted for every time a token occurred.", valueName: "x"))
  var frequencyPenalty: Float = 0

  @Option(
    help: ArgumentHelp(
      "The same seed gives the same text. Default: a new one every time.", valueName: "n"))
  var seed: UInt64?

  var options: SamplingOptions {
    var options = SamplingOptions()
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.repetitionPenalty = repetitionPenalty
    options.penaltyWindow = penaltyWindow
    options.presencePenalty = presencePenalty
    options.frequencyPenalty = frequencyPenalty
    options.seed = seed
    return options
  }

  mutating func validate() throws {
    do throws(Failure) { _ = try options.validated() } catch {
      throw ValidationError(error.description)
    }
  }
}
