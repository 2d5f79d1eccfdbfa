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

  @Option(help: ArgumentHelp("The model's name in the store.", valueName: "text"))
  var name: String?

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func run() throws {
    var options = try packing.packingOptions(plainRounding: plainRounding)
    options.name = name
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
