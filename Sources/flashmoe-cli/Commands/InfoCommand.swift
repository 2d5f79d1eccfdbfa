import ArgumentParser
import Checkpoints
import FlashMoE
import Support
import WeightStore

struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Describe a store or a checkpoint.",
    discussion: """
      Takes a store (NAME.fmoe), a Hugging Face directory or a GGUF file; only headers are read. \
      Without a path: the demo model.

      Example: flashmoe info model.fmoe --tensors
      """)

  @Argument(
    help: "A store, a Hugging Face directory or a GGUF file.", completion: .directory)
  var path: String?

  @Flag(help: "List every tensor.")
  var tensors = false

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func run() throws {
    let path = try path ?? DemoStore.path()
    guard FileSystem.exists(path) else {
      throw Failure(.notFound, path, "no such file or directory", remedy: "Check the path")
    }
    if FileSystem.exists(path + "/" + Manifest.fileName) {
      try StoreInfo(try Store(opening: path)).print(json: common.json, tensors: tensors)
    } else {
      CheckpointInfo(try Checkpoint.open(path)).print(json: common.json, tensors: tensors)
    }
  }
}
