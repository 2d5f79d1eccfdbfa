import ArgumentParser
import FlashMoE
import Support

extension Speculation: ExpressibleByArgument {}

/// Whether tokens are drafted from earlier text.  It changes time, never a token.
struct SpeculationArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Draft tokens from earlier text and verify several in one step: auto where it pays, lookup"
        + " whenever text repeats. Default: auto; off in bench.", valueName: "mode"))
  var speculation: Speculation?

  @Option(
    name: .customLong("draft-max"),
    help: ArgumentHelp("Tokens drafted at a time at most.", valueName: "n"))
  var draftLimit = Speculation.draftLimit

  mutating func validate() throws {
    try NumberArgument.check(draftLimit, "--draft-max", 0...Speculation.draftLimit)
  }
}
