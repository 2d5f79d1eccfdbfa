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

      --alias makes a store smaller than the model: experts of all layers share a pool of records \
      of that size. Reads, sizes and counts stay the model's; the text means even less. Everything \
      printed about such a store says so.

      Shapes: \(ModelShape.all.map(\.name).joined(separator: ", "))

      Examples:
        flashmoe synth --shape qwen3-30b-a3b -o test.fmoe
        flashmoe synth --shape qwen3.5-397b-a17b --alias 40GB -o giant.fmoe
      """)

  @Option(help: ArgumentHelp("Which model's shape.", valueName: "name"))
  var shape: String

  @Option(help: ArgumentHelp("Fewer layers than the model has.", valueName: "n"))
  var layers: Int?

  @Option(
    help: ArgumentHelp(
      "How unevenly experts are used: 0 is even, the worst case for a cache.", valueName: "s"))
  var skew = 0.5

  @Option(
    name: .customLong("alias"),
    help: ArgumentHelp("Let experts share a pool of records of this size.", valueName: "size"),
    transform: ByteSizeArgument.parse)
  var aliasBytes: Int?

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
      aliasBytes: aliasBytes, options: try packing.packingOptions())
    let result = try packing.pack(plan, label: "synth")
    let store = try Store(opening: result.path)
    let report = try noReport ? nil : routing(store)
    if common.json {
      var object = PackReport(result: result).json
      object["quantization"] = nil
      object.note(store.manifest.aliasNote)
      if let report { object["routing"] = .object(report.json) }
      Output.print(object)
      return
    }
    Output.print(
      "\(result.path): \(ByteCount.format(result.storeBytes)) in "
        + "\(ByteCount.significant(result.seconds)) s")
    AliasNote.print(store.manifest)
    if let report { Output.print(report.text) }
    Output.print("\nNext: flashmoe bench \(result.path) --ram 6GB")
  }

  private static let reportSlots = 32

  private func routing(_ store: Store) throws(Failure) -> RoutingReport {
    let engine = try Engine(
      store: store,
      options: EngineOptions(
        contextLength: reportTokens,
        // Which experts are chosen is all that counts: a large cache would only take memory.
        slotCount: min(Self.reportSlots, store.manifest.recordCount)),
      logger: Diagnostics.logger(verbose: common.verbose))
    return try RoutingReport(engine, tokenCount: reportTokens, seed: seed)
  }
}
