import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct SynthCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "synth",
    abstract: "Make a store of a real model's exact shape with random weights.",
    discussion: """
      For measuring disk, memory and speed before anything is downloaded. Its text means nothing. \
      Afterwards random tokens go through the routers, and the report says how many experts they \
      used and what caches of several sizes would hit.

      Shapes: \(ModelShape.all.map(\.name).joined(separator: ", "))

      Example: flashmoe synth --shape qwen3-30b-a3b -o test.fmoe
      """)

  @Option(help: ArgumentHelp("Which model's shape.", valueName: "name"))
  var shape: String

  @Option(help: ArgumentHelp("Fewer layers than the model has.", valueName: "n"))
  var layers: Int?

  @Option(
    help: ArgumentHelp(
      "How unevenly experts are used: 0 is even, the worst case for a cache.", valueName: "s"))
  var skew = 0.5

  @Option(help: ArgumentHelp("The same seed gives the same store.", valueName: "n"))
  var seed: UInt64 = 1

  @OptionGroup var packing: PackingArguments

  @Flag(help: "Do not run tokens through the store.")
  var noReport = false

  @Option(help: ArgumentHelp("Tokens of the report.", valueName: "n"))
  var reportTokens = 128

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    try NumberArgument.check(reportTokens, "--report-tokens", 2...4096)
  }

  mutating func run() throws {
    let plan = try Synthesis.plan(
      try ModelShape.named(shape), layers: layers, skew: skew, seed: seed,
      options: try packing.packingOptions())
    let result = try packing.pack(plan, label: "synth")
    let report = try noReport ? nil : routing(result.path)
    if common.json {
      var object = PackReport(result: result).json
      object["quantization"] = nil
      if let report { object["routing"] = .object(report.json) }
      Output.print(object)
      return
    }
    Output.print(
      "\(result.path): \(ByteCount.format(result.storeBytes)) in "
        + "\(ByteCount.significant(result.seconds)) s")
    if let report { Output.print(report.text) }
    Output.print("\nNext: flashmoe bench \(result.path) --ram 6GB")
  }

  private func routing(_ path: String) throws(Failure) -> RoutingReport {
    let engine = try Engine(
      store: try Store(opening: path), options: EngineOptions(contextLength: reportTokens),
      logger: Diagnostics.logger(verbose: common.verbose))
    return try RoutingReport(engine, tokenCount: reportTokens, seed: seed)
  }
}
