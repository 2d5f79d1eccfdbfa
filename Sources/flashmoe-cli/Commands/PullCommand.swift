import ArgumentParser
import FlashMoE
import Hub
import Support
import WeightStore

struct PullCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pull",
    abstract: "Download a checkpoint from a Hugging Face-compatible hub.",
    discussion: """
      Takes the files a checkpoint needs, over several connections, and checks every byte. An \
      interrupted pull goes on where it was when the command is given again. With --pack the files \
      are packed as they come and dropped again: the checkpoint never lies on the disk as a whole, \
      and the store is the one that 'pack' makes.

      Examples:
        flashmoe pull Qwen/Qwen3-30B-A3B --pack
        flashmoe pull ORG/NAME:v1.0
        flashmoe pull ORG/NAME-GGUF:Q4_0 --pack --scheme none -o name.fmoe

      HF_ENDPOINT names another hub; HF_TOKEN is sent to it and to nobody else. Without --output \
      files go to ORG/NAME, or ORG/NAME.fmoe, in $FLASHMOE_MODELS, else in \
      ~/.local/share/flashmoe/models.
      """)

  @Argument(
    help: ArgumentHelp(
      "ORG/NAME, with a revision or a GGUF quantization after a colon if wanted.",
      valueName: "org/name[:tag]"))
  var model: String

  @Option(help: ArgumentHelp("A branch, tag or commit. Default: main.", valueName: "revision"))
  var revision: String?

  @Flag(help: "Pack while downloading; the options below are those of 'pack'.")
  var pack = false

  @OptionGroup var packing: PackingArguments

  @OptionGroup(title: "Transfer") var transfer: TransferArguments

  @OptionGroup(title: "Output") var common: CommonArguments

  func validate() throws {
    guard !pack, packing.decidesAnything else { return }
    throw ValidationError("schemes, --overwrite and --restart are about a store: add --pack")
  }

  mutating func run() async throws {
    let reference = try ModelReference(parsing: model)
    if pack { try await packed(reference) } else { try await downloaded(reference) }
  }

  private func downloaded(_ reference: ModelReference) async throws(Failure) {
    let output: String
    if let given = packing.output {
      output = given
    } else {
      output = try ModelLibrary.standard().checkpointPath(reference)
    }
    let revision = revision
    let result = try await transfer.withClient { client async throws(Failure) in
      let resolution = try await client.resolve(reference, revision: revision)
      Self.announce(resolution)
      let progress = ProgressLine("pull")
      defer { progress.finish() }
      return try await Pull.download(
        resolution, with: client, to: output,
        progress: { state in progress.show(TransferArguments.text(state)) })
    }
    guard !common.json else {
      return Output.print([
        "path": .string(result.path), "directory": .string(result.directory),
        "bytes": .integer(result.bytes), "downloaded_bytes": .integer(result.downloadedBytes),
        "seconds": .number(result.seconds),
      ])
    }
    Output.print(
      "\(result.path): \(ByteCount.format(result.bytes)), of which "
        + "\(ByteCount.format(result.downloadedBytes)) came in "
        + "\(ByteCount.significant(result.seconds)) s")
    Output.print("\nNext: flashmoe pack \(result.path) -o \(reference.name).fmoe")
  }

  private func packed(_ reference: ModelReference) async throws(Failure) {
    let options = try packing.packingOptions()
    let packOptions = packing.packOptions
    let (revision, given) = (revision, packing.output)
    let result = try await transfer.withClient { client async throws(Failure) in
      let resolution = try await client.resolve(reference, revision: revision)
      let output: String
      if let given {
        output = given
      } else {
        output = try ModelLibrary.standard().storePath(resolution)
      }
      Self.announce(resolution)
      let progress = ProgressLine("pull")
      defer { progress.finish() }
      return try await PullAndPack.run(
        resolution, with: client, to: output, packing: options, options: packOptions,
        progress: PullAndPack.Progress(
          download: { state in progress.show(TransferArguments.text(state)) },
          warn: { text in Diagnostics.warn(text) }))
    }
    let report = PackReport(result: result)
    guard !common.json else { return Output.print(report.json) }
    Output.print(report.text)
    Output.print("\nNext: flashmoe run \(packing.output ?? reference.repository) -p \"Hello\"")
  }

  /// What will come, and what will not.
  private static func announce(_ resolution: Resolution) {
    let selection = resolution.selection
    var kind = "safetensors"
    if case .gguf(let label) = selection.kind { kind = "GGUF" + (label.map { " " + $0 } ?? "") }
    Output.message(
      "\(resolution.snapshot.repository), commit \(resolution.snapshot.commit.prefix(12)): \(kind), "
        + "\(selection.files.count) file\(selection.files.count == 1 ? "" : "s"), \(ByteCount.format(selection.totalBytes))"
    )
    if let text = selection.leftOutText { Output.message(text) }
  }
}
