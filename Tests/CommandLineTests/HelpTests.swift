import Testing

@Suite struct HelpTests {
  @Test func rootHelpListsCommandsExamplesAndNextSteps() throws {
    let result = try flashmoe("--help")
    #expect(result.code == 0)
    #expect(result.messages.isEmpty)
    for word in [
      "run", "chat", "pull", "list", "remove", "pack", "info", "verify", "plan", "logits", "synth",
      "EXAMPLES", "NEXT STEPS",
      "larger than RAM",
    ] {
      #expect(result.output.contains(word), "\(word)")
    }
  }

  @Test(arguments: [
    "run", "chat", "pull", "list", "remove", "pack", "info", "verify", "plan", "logits", "synth",
    "doctor",
  ])
  func everyCommandExplainsItselfAndTakesJSON(command: String) throws {
    let result = try flashmoe("help", command)
    #expect(result.code == 0)
    #expect(result.output.contains("--json"))
    #expect(result.output.contains("OVERVIEW"))
    let lines = result.output.split(separator: "\n").filter { !$0.hasPrefix("USAGE") }
    #expect(lines.allSatisfy { $0.count <= 80 })
  }
}
