import ArgumentParser
import Glibc
import Hub
import Support

struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Delete a model that was pulled.",
    discussion: """
      Takes a name that 'list' shows and deletes all its files: stores, checkpoints and what \
      interrupted pulls left. On a terminal it asks first.

      Example: flashmoe remove Qwen/Qwen3-30B-A3B
      """)

  @Argument(help: ArgumentHelp("A name that 'list' shows.", valueName: "name"))
  var name: String

  @Option(
    help: ArgumentHelp(
      "Which, where a name is there as several: store, checkpoint or unfinished.",
      valueName: "kind"))
  var kind: String?

  @Flag(name: [.customShort("y"), .long], help: "Delete without asking.")
  var yes = false

  @OptionGroup(title: "Output") var common: CommonArguments

  func validate() throws {
    if let kind, InstalledModel.Kind(rawValue: kind) == nil {
      throw ValidationError("--kind is store, checkpoint or unfinished, not \(kind)")
    }
  }

  mutating func run() throws {
    let library = try ModelLibrary.standard()
    let wanted = kind.flatMap(InstalledModel.Kind.init)
    let found = try library.models(named: name).filter { wanted == nil || $0.kind == wanted }
    guard let model = found.first else {
      throw Failure(
        .notFound, name, "there is no such model in \(library.path)",
        remedy: "'flashmoe list' shows what there is")
    }
    guard found.count == 1 else {
      var failure = ModelLibrary.ambiguous(name, found)
      failure.remedy = "Give the whole name, and --kind where it is there as several"
      throw failure
    }
    guard try isWanted(model) else {
      Output.message("nothing was deleted")
      throw ExitCode(ErrorReport.failureCode)
    }
    try library.remove(model)
    if common.json {
      Output.print(["removed": .object(ListCommand.json(model))])
    } else {
      Output.print("removed \(model.name) (\(ByteCount.format(model.bytes)))")
    }
  }

  private func isWanted(_ model: InstalledModel) throws(Failure) -> Bool {
    if yes { return true }
    guard isatty(STDIN_FILENO) == 1 else {
      throw Failure(
        .usage, model.name, "deleting it needs a yes, and there is no terminal to ask on",
        remedy: "Add --yes")
    }
    Output.write(
      "Delete \(model.paths.joined(separator: " and ")), \(ByteCount.format(model.bytes))? [y/N] ",
      to: STDERR_FILENO)
    let answer = (readLine() ?? "").lowercased()
    return answer == "y" || answer == "yes"
  }
}
