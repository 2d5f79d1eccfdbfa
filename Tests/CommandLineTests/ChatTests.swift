import Support
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
  }
}
