import ArgumentParser
import Checkpoints
import FlashMoE
import Support
import WeightStore

struct PackCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pack",
    abstract: "Turn a checkpoint into a store.",
    discussion: """
      Takes a Hugging Face directory (safetensors) or a GGUF file. Memory stays bounded whatever \
      the size; an interrupted pack goes on where it was when the command is given again; the \
      store appears under its name only when it is complete. The same input gives the same bytes.

      Examples:
        flashmoe pack ~/Qwen3-30B-A3B -o qwen3.fmoe
        flashmoe pack model.Q4_0.gguf -o model.fmoe --scheme none
        flashmoe pack ~/model -o model.fmoe --override '*.down=q8' --resident-scheme bf16
      """)

  @Argument(
    help: ArgumentHelp("A Hugging Face directory or a GGUF file.", valueName: "checkpoint"),
    completion: .directory)
  var source: String

  @OptionGroup var packing: PackingArguments

  @Flag(help: "Round to the absolute maximum's grid instead of searching the best scales.")
  var plainRounding = false

  @Flag(help: "Print a line for each class of tensors: its format, its scheme, its error.")
  var report = false

  @Option(help: ArgumentHelp("Bits of often chosen experts (2, 3, 4, 8).", valueName: "bits"))
  var hotBits: Int?

  @Option(
    help: ArgumentHelp(
      "Bits of rarely chosen experts. Lossy: docs/quantization.md says what it costs.",
      valueName: "bits"))
  var coldBits: Int?

  @Option(
    help: ArgumentHelp(
      "The profile that says which experts are rarely chosen, or a calibrated store.",
      valueName: "profile.json"),
    completion: .file())
  var profile: String?

  @Option(
    help: ArgumentHelp("The share of each layer's experts that are cold.", valueName: "share"))
  var coldShare = 0.5

  @Option(
    help: ArgumentHelp(
      "Activation statistics of 'calibrate --importance': scales are searched for the least error "
        + "where it matters.", valueName: "file.safetensors"), completion: .file())
  var importance: String?

  @Option(help: ArgumentHelp("The model's name in the store.", valueName: "text"))
  var name: String?

  @OptionGroup(title: "Output") var common: CommonArguments

  private func mixedPrecision() throws(Failure) -> MixedPrecision? {
    guard hotBits != nil || coldBits != nil || profile != nil else { return nil }
    guard let coldBits, let profile else {
      throw Failure(
        .usage, "--cold-bits", "--hot-bits, --cold-bits and --profile belong together",
        remedy: "For example --hot-bits 4 --cold-bits 3 --profile model.fmoe/profile.json")
    }
    guard packing.scheme == "auto" else {
      throw Failure(.usage, "--scheme", "experts get their schemes from --hot-bits and --cold-bits")
    }
    return try MixedPrecision(
      hotBits: hotBits ?? 4, coldBits: coldBits, coldShare: coldShare,
      popularity: try MixedPrecision.popularity(inProfile: profile))
  }

  mutating func run() throws {
    var options = try packing.packingOptions(plainRounding: plainRounding)
    options.name = name
    options.mixedPrecision = try mixedPrecision()
    if let importance {
      guard !plainRounding else {
        throw Failure(.usage, "--importance", "weighs the search that --plain-rounding turns off")
      }
      options.importance = try Importance(importance)
    }
    guard FileSystem.exists(source) else {
      throw Failure(.notFound, source, "no such file or directory", remedy: "Check the path")
    }
    let checkpoint = try Checkpoint.open(source)
    let plan = try ModelPacking.plan(checkpoint: checkpoint, options: options)
    let result = try packing.pack(plan, label: "pack")
    let text = PackReport(result: result, isDetailed: report)
    if common.json {
      Output.print(text.json)
    } else {
      Output.print(text.text)
      Output.print("\nNext: flashmoe run \(result.path) -p \"Hello\"")
    }
  }
}
