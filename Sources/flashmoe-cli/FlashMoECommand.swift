import ArgumentParser
import Glibc
import Support

@main
struct FlashMoECommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "flashmoe",
    abstract: "Run Mixture-of-Experts language models that are larger than RAM.",
    discussion: """
      A store (NAME.fmoe) holds a model with every expert in one aligned record. \
      Experts stream from disk into a cache inside a RAM budget that is a hard limit.

      EXAMPLES:
        flashmoe run -p "Once upon a time"
            The demo model that ships with FlashMoE.
        flashmoe pull Qwen/Qwen3-30B-A3B --pack
            Download and pack, one file at a time.
        flashmoe pack ~/Qwen3-30B-A3B -o qwen3.fmoe
            From a Hugging Face directory or a GGUF file.
        flashmoe plan qwen3.fmoe --ram 6GB
            What goes where, and how fast it may be.
        flashmoe run qwen3.fmoe --ram 6GB -p "Hello" -n 64
        flashmoe synth --shape qwen3-30b-a3b -o test.fmoe
            Random weights, to measure before downloading.

      NEXT STEPS:
        flashmoe help COMMAND explains a command and its options.
        Every command takes --json.
        Exit codes: 0 success, 1 failure, 64 wrong usage, 130 interrupted.
      """,
    groupedSubcommands: [
      CommandGroup(
        name: "Text",
        subcommands: [
          RunCommand.self, ChatCommand.self, ApplyTemplateCommand.self, TokenizeCommand.self,
          DetokenizeCommand.self,
        ]),
      CommandGroup(
        name: "Models", subcommands: [PullCommand.self, ListCommand.self, RemoveCommand.self]),
      CommandGroup(
        name: "Store",
        subcommands: [PackCommand.self, InfoCommand.self, VerifyCommand.self, SynthCommand.self]),
      CommandGroup(
        name: "Measuring",
        subcommands: [
          DoctorCommand.self, PlanCommand.self, BenchCommand.self, PerplexityCommand.self,
          LogitsCommand.self,
          TraceCommand.self, SimulateCommand.self, CalibrateCommand.self,
        ]),
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
