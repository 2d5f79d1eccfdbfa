import Support
import TestSupport
import Testing

@Suite struct ChatTests {
  @Test func twoTurnsOverAPipeKeepTheContext() throws {
    let result = try flashmoe(
      ["chat", try TinyStore.exact(), "-n", "5", "--json", "--system", "Be brief."],
      input: "Hello there\nAnd again\n")
    #expect(result.code == 0, "\(result.messages)")
    let turns = try #require(try result.json()["turns"]?.array)
    #expect(turns.map { $0["user"]?.string } == ["Hello there", "And again"])
    let firstPrompt = turns[0]["prompt_ids"]?.array?.compactMap(\.integer) ?? []
    let answer = turns[0]["ids"]?.array?.compactMap(\.integer) ?? []
    let secondPrompt = turns[1]["prompt_ids"]?.array?.compactMap(\.integer) ?? []
    #expect(answer.count <= 5 && !answer.isEmpty)
    #expect(secondPrompt.starts(with: firstPrompt + answer))
    // The last generated token was never run; all before it were.
    let reused = turns[1]["stats"]?["reused_tokens"]?.integer ?? 0
    #expect(reused >= firstPrompt.count + answer.count - 1)
  }

  @Test func commandsAndPlainText() throws {
    let result = try flashmoe(
      ["chat", try TinyStore.exact(), "-n", "4"],
      input: "/help\nHello\n/stats\n/reset\n/nonsense\n/exit\nnever\n")
    #expect(result.code == 0, "\(result.messages)")
    #expect(result.messages.contains("/reset  forget"))
    #expect(result.messages.contains("tok/s"))
    #expect(result.messages.contains("starts anew"))
    #expect(result.messages.contains("no command /nonsense"))
  }

  @Test func resetForgets() throws {
    let result = try flashmoe(
      ["chat", try TinyStore.exact(), "-n", "4", "--json"], input: "Hello\n/reset\nHello\n")
    let turns = try #require(try result.json()["turns"]?.array)
    #expect(turns.count == 2)
    #expect(turns[0]["prompt_ids"] == turns[1]["prompt_ids"])
    #expect(turns[0]["ids"] == turns[1]["ids"])
  }

  @Test func aFullContextIsSaidAndSurvived() throws {
    let result = try flashmoe(
      ["chat", try TinyStore.exact(), "-n", "8", "--ctx", "64", "--json"],
      input: String(repeating: "many words ", count: 40) + "\n/reset\nHi\n")
    #expect(result.code == 0, "\(result.messages)")
    #expect(result.messages.contains("context is full") && result.messages.contains("/reset"))
    let turns = try #require(try result.json()["turns"]?.array)
    #expect(turns.count == 2)
    #expect(turns[0]["error"]?.string != nil)
    #expect(turns[1]["ids"]?.array?.isEmpty == false)
  }

  @Test func markersTypedByAUserStayText() throws {
    let result = try flashmoe(
      ["chat", try TinyStore.exact(), "-n", "2", "--json"],
      input: "a<|im_end|>b\n")
    let turns = try #require(try result.json()["turns"]?.array)
    #expect(turns[0]["user"]?.string == "a<|im_end|>b")
    let marker = try flashmoe(["tokenize", try TinyStore.exact(), "-p", "<|im_end|>"])
    let id = try #require(Int(marker.output.split(separator: "\n")[0]))
    let ids = turns[0]["prompt_ids"]?.array?.compactMap(\.integer) ?? []
    #expect(ids.filter { $0 == id }.count == 1)
  }

  @Test func theTemplateAndItsVariablesCanBeGiven() throws {
    let directory = try TemporaryDirectory("chat")
    try directory.write(
      Array(
        "{{ eos_token }}{{ enable_thinking }}/{{ thinking }}/{{ mood }}{% for m in messages %}|{{ m.role }}:{{ m.content }}{% endfor %}|"
          .utf8), to: "t.jinja")
    func prompt(_ arguments: [String]) throws -> String {
      let store = try TinyStore.exact()
      let result = try flashmoe(
        ["chat", store, "-n", "1", "--json", "--chat-template", directory.file("t.jinja")]
          + arguments, input: "Hi\n")
      #expect(result.code == 0, "\(result.messages)")
      let ids = try #require(try result.json()["turns"]?.array?.first?["prompt_ids"]?.array)
      return try flashmoe(
        ["detokenize", store, ids.compactMap(\.integer).map(String.init).joined(separator: ",")]
      ).output
    }
    #expect(try prompt([]) == "<|im_end|>//|user:Hi|")
    #expect(
      try prompt(["--reasoning", "off", "--system", "S"])
        == "<|im_end|>False/False/|system:S|user:Hi|")
    #expect(
      try prompt([
        "--reasoning", "on", "--chat-template-kwargs", #"{"mood": "good", "thinking": 5}"#,
      ]) == "<|im_end|>True/5/good|user:Hi|")
  }

  @Test func mistakesInTemplatesComeFirst() throws {
    let directory = try TemporaryDirectory("chat")
    try directory.write(Array("{% if %}".utf8), to: "bad.jinja")
    try directory.write(Array("{{ raise_exception('No system role') }}".utf8), to: "no.jinja")
    for (arguments, code, piece) in [
      (["--chat-template", directory.file("bad.jinja")], 1, "line 1"),
      (["--chat-template", directory.file("no.jinja")], 1, "No system role"),
      (["--chat-template", directory.file("none.jinja")], 1, "none.jinja"),
      (["--chat-template-kwargs", "[1]"], 64, "JSON object"),
      (["--chat-template-kwargs", "{"], 64, "JSON"),
      (["--reasoning", "maybe"], 64, "maybe"),
    ] as [([String], Int32, String)] {
      let result = try flashmoe(
        ["chat", try TinyStore.exact(), "-n", "1"] + arguments, input: "Hi\n")
      #expect(result.code == code, "\(arguments): \(result.messages)")
      #expect(result.messages.contains(piece), "\(arguments): \(result.messages)")
    }
  }
}
