import ArgumentParser
import Glibc
import Support

@main
struct FlashMoECommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flashmoe",
    abstract: "Run Mixture-of-Experts language models that are larger than RAM.",
    discussion: """
      A store (NAME.fmoe) holds a model with every expert in one aligned record. Experts stream \
      from disk into a cache inside a RAM budget that is a hard limit.

      Examples:
        flashmoe run -p "Once upon a time"              the demo model that ships with FlashMoE
        flashmoe pack ~/Qwen3-30B-A3B -o qwen3.fmoe     a Hugging Face directory or GGUF file
        flashmoe plan qwen3.fmoe --ram 6GB              what goes where, how fast it may be
        flashmoe run qwen3.fmoe --ram 6GB -p "Hello" -n 64
        flashmoe synth --shape qwen3-30b-a3b -o test.fmoe   measure before downloading

      Next steps: 'flashmoe help COMMAND' explains a command and its options. Every command takes \
      --json. Exit codes: 0 success, 1 failure, 64 wrong usage, 130 interrupted.
      """,
    groupedSubcommands: [
      CommandGroup(
        name: "Generate text:", subcommands: [RunCommand.self, ChatCommand.self]),
      CommandGroup(
        name: "Make and look at stores:",
        subcommands: [InfoCommand.self, PlanCommand.self]),
      CommandGroup(
        name: "Measure and compare:",
        subcommands: [BenchCommand.self, PerplexityCommand.self, LogitsCommand.self]),
    ])

  static func main() async {
    // A reader that went away (`flashmoe run | head`) ends the program quietly, also where the
    // parent process ignores the signal.
    signal(SIGPIPE, SIG_DFL)
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch {
      Glibc.exit(ErrorReport(error).print())
    }
  }
}
