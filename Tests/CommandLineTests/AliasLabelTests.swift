import Support
import TestSupport
import Testing

/// Whatever is printed about an aliased store says that it is one.
@Suite struct AliasLabelTests {
  private let directory: TemporaryDirectory
  private let store: String
  private let label = "aliased: records share a pool of "

  init() throws {
    directory = try TemporaryDirectory("labels")
    store = directory.file("a.fmoe")
  }

  private func synth(_ more: [String] = []) throws -> ChildProcess.Result {
    try flashmoe(
      ["synth", "--shape", "qwen3-tiny", "-o", store, "--alias", "60KB", "--overwrite"] + more)
  }

  @Test func everyOutputIsLabelled() throws {
    let made = try synth(["--report-tokens", "4"])
    #expect(made.code == 0, "\(made.messages)")
    #expect(made.output.contains(label))
    let output = directory.file("out.safetensors")
    let ids = try directory.write("1,2,3,4,5,6,7,8", to: "ids")
    let small = ["--ctx", "64", "-t", "1"]
    let commands = [
      ["info", store], ["verify", store], ["plan", store, "--no-probe"] + small,
      ["run", store, "--ids", "1,2", "-n", "2"] + small,
      ["bench", store, "-p", "4", "-n", "2", "-r", "1", "--no-probe", "--cache", "warm"] + small,
      ["logits", store, "--ids", "1,2", "-o", output] + small,
      ["perplexity", store, "--ids-file", ids, "--window", "8"] + small,
    ]
    for command in commands {
      // What a reader of either stream alone sees: results on stdout, statistics of run on stderr.
      let plain = try flashmoe(command)
      #expect(plain.code == 0, "\(plain.messages)")
      let where_ = command[0] == "run" ? plain.messages : plain.output
      #expect(where_.contains(label), "\(command[0])")
      let machine = try flashmoe(command + ["--json"])
      #expect(machine.code == 0, "\(machine.messages)")
      let document = try machine.json()
      let entry = ["run": document["stats"], "perplexity": document["rows"]?.array?.first]
      let note = (entry[command[0]] ?? document)?["aliased"]?.string
      #expect(note?.contains(label) == true, "\(command[0]) --json")
    }
    let csv = try flashmoe(commands[4] + ["-o", "csv"]).output.split(separator: "\n")
    #expect(csv.count == 3)
    #expect(csv.dropFirst().allSatisfy { $0.contains(label) && $0.contains("tiny-aliased") })
    let table = try flashmoe(commands[4]).output.split(separator: "\n").filter { $0.hasPrefix("|") }
    #expect(table.dropFirst(2).allSatisfy { $0.contains("(aliased)") })
    let header = String(decoding: try FileSystem.readBytes(output).prefix(600), as: UTF8.self)
    #expect(header.contains(label))
    let remade = try synth(["--no-report", "--json"])
    #expect(try remade.json()["aliased"]?.string?.contains(label) == true)
  }

  @Test func otherStoresAreNot() throws {
    for command in [
      ["info", try TinyStore.quantized(), "--json"], ["verify", try TinyStore.quantized()],
    ] {
      #expect(try !flashmoe(command).output.contains("aliased"))
    }
  }

  @Test func poolsThatCannotBeAreUsageErrors() throws {
    for (size, word) in [("1KB", "no record"), ("1GB", "Leave --alias out"), ("x", "6GB")] {
      let result = try flashmoe(
        "synth", "--shape", "qwen3-tiny", "-o", store, "--alias", size, "--no-report")
      #expect(result.code == 64, "\(size)")
      #expect(result.messages.contains(word), "\(result.messages)")
      #expect(!FileSystem.exists(store))
    }
  }
}
