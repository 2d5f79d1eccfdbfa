import Support
import TestSupport
import Testing

@Suite struct ApplyTemplateTests {
  private static let folder = Fixtures.path("chat-templates")
  private static let messages = #"{"messages": [{"role": "user", "content": "Hi é"}]"#

  @Test func everyCaseOfOurTemplate() throws {
    let document = try FileSystem.readJSON(Self.folder + "/tools.json")
    for item in document["cases"]?.array ?? [] {
      let name = try #require(item["case"]?.string)
      let result = try flashmoe([
        "apply-template", Self.folder + "/tools.jinja", "--input", Self.folder + "/tools.json",
        "--case", name,
      ])
      if let rendered = item["rendered"]?.string {
        #expect(result.code == 0, "\(name): \(result.messages)")
        #expect(result.output == rendered && result.messages.isEmpty)
      } else {
        #expect(result.code == 1 && result.output.isEmpty, "\(name)")
        #expect(result.messages.contains(item["raises"]?.string ?? "error"))
      }
    }
  }

  @Test func aStoreHasItsTemplateAndSpecialTokens() throws {
    let store = try TinyStore.exact()
    let result = try flashmoe(
      ["apply-template", store, "--input", "-"],
      input: Self.messages + #", "arguments": {"add_generation_prompt": true}}"#)
    #expect(
      result.output == "<|im_start|>user\nHi é<|im_end|>\n<|im_start|>assistant\n",
      "\(result.messages)")
    // Without arguments there is no prompt for an answer; a JSON document holds the same text.
    let json = try flashmoe(
      ["apply-template", TinyStore.checkpoint, "-i", "-", "--json"], input: Self.messages + "}")
    #expect(try json.json()["prompt"]?.string == "<|im_start|>user\nHi é<|im_end|>\n")
  }

  @Test func specialTokensComeFromTheStoreUnlessTheCaseHasSome() throws {
    let directory = try TemporaryDirectory("template")
    try directory.write(
      Array(
        #"""
        {"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
         "chat_template": [{"name": "tool_use", "template": "tools"},
          {"name": "default", "template": "{{ bos_token }}|{{ eos_token }}|{{ pad_token is defined }}"}]}
        """#.utf8), to: "tokenizer_config.json")
    for source in [directory.path, directory.file("tokenizer_config.json")] {
      func output(_ rest: String) throws -> String {
        let result = try flashmoe(
          ["apply-template", source, "--input", "-"], input: Self.messages + rest)
        #expect(result.code == 0, "\(result.messages)")
        return result.output
      }
      #expect(try output("}") == "<s>|</s>|False")
      #expect(try output(#", "special_tokens": {"bos_token": "B"}}"#) == "B||False")
      #expect(try output(#", "arguments": {"tools": []}}"#) == "tools")
    }
  }

  @Test func mistakesAreTold() throws {
    let directory = try TemporaryDirectory("template")
    try directory.write(Array("{% if %}".utf8), to: "bad.jinja")
    try directory.write(Array("{{ 1 }}".utf8), to: "good.jinja")
    let store = try TinyStore.exact()
    let good = directory.file("good.jinja")
    for (arguments, input, code, piece) in [
      ([directory.file("bad.jinja"), "--input", "-"], Self.messages + "}", 1, "bad.jinja, line 1"),
      ([good, "--input", "-"], "{}", 1, "messages"),
      ([good, "--input", "-"], "[]", 1, "an object with 'messages'"),
      ([good, "--input", "-"], "{", 1, "not valid JSON"),
      ([good, "--input", "-"], Self.messages + #", "clock": "noon"}"#, 1, "clock"),
      ([good, "--input", "-"], Self.messages + #", "arguments": []}"#, 1, "arguments"),
      ([good, "--input", "-", "--case", "x"], Self.messages + "}", 64, "no cases"),
      ([good, "--input", Self.folder + "/tools.json"], "", 64, "--case"),
      ([good, "--input", Self.folder + "/tools.json", "--case", "x"], "", 1, "There are: plain"),
      ([good, "--input", directory.file("none.json")], "", 1, "none.json"),
      ([directory.path, "--input", "-"], Self.messages + "}", 1, "no chat template"),
      ([good], "", 64, "--input"),
      ([], "", 64, "store|file"),
      ([store + "x", "--input", "-"], Self.messages + "}", 1, "fmoex"),
    ] as [([String], String, Int32, String)] {
      let result = try flashmoe(["apply-template"] + arguments, input: input)
      #expect(result.code == code, "\(arguments): \(result.messages)")
      #expect(result.output.isEmpty)
      #expect(
        result.messages.contains(piece), "\(arguments): \(result.messages)")
    }
  }
}
