import ArgumentParser
import Hub
import Support

struct PullCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull",
    abstract: "Download a checkpoint from a Hugging Face-compatible hub.",
    discussion: """
      Takes the files a checkpoint needs, over several connections, and checks every byte. An \
      interrupted pull goes on where it was when the command is given again.

      Examples:
        flashmoe pull Qwen/Qwen3-30B-A3B
        flashmoe pull ORG/NAME:v1.0
        flashmoe pull ORG/NAME-GGUF:Q4_0 --output ~/models/name

      HF_ENDPOINT names another hub, HF_TOKEN is sent to it. Without --output files go to ORG/NAME \
      in $FLASHMOE_MODELS, else in ~/.local/share/flashmoe/models.
      """)

  @Argument(
    help: ArgumentHelp(
      "ORG/NAME, with a revision or a GGUF quantization after a colon if wanted.",
      valueName: "org/name[:tag]"))
  var model: String

  @Option(help: ArgumentHelp("A branch, tag or commit. Default: main.", valueName: "revision"))
  var revision: String?

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The directory to download to.", valueName: "dir"), completion: .directory)
  var output: String?

  @OptionGroup var transfer: TransferArguments

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func run() async throws {
    let reference = try ModelReference(parsing: model)
    let output = try output ?? ModelLibrary.standard().checkpointPath(reference)
    let (revision, common) = (revision, common)
    let result = try await transfer.withClient { client async throws(Failure) in
      let resolution = try await client.resolve(reference, revision: revision)
      Self.announce(resolution)
      let progress = ProgressLine("pull")
      defer { progress.finish() }
      return try await Pull.download(
        resolution, with: client, to: output,
        progress: { state in progress.show(TransferArguments.text(state)) })
    }
    if common.json {
      Output.print([
        "path": .string(result.path), "directory": .string(result.directory),
        "bytes": .integer(result.bytes), "downloaded_bytes": .integer(result.downloadedBytes),
        "seconds": .number(result.seconds),
      ])
    } else {
      Output.print(
        "\(result.path): \(ByteCount.format(result.bytes)), of which "
          + "\(ByteCount.format(result.downloadedBytes)) came in "
          + "\(ByteCount.significant(result.seconds)) s")
      Output.print("\nNext: flashmoe pack \(result.path) -o \(reference.name).fmoe")
    }
  }

  /// What will come, and what will not.
  static func announce(_ resolution: Resolution) {
    let selection = resolution.selection
    var kind = "safetensors"
    if case .gguf(let label) = selection.kind { kind = "GGUF" + (label.map { " " + $0 } ?? "") }
    Output.message(
      "\(resolution.snapshot.repository), commit \(resolution.snapshot.commit.prefix(12)): \(kind), "
        + "\(selection.files.count) files, \(ByteCount.format(selection.totalBytes))")
    if let text = selection.leftOutText { Output.message(text) }
  }
}
