import ChatTemplates
import Support
import TestSupport
import Testing

@Suite struct RenderingTests {
  /// The published templates, as transformers renders them.
  @Test func publishedTemplates() throws {
    guard let folder = Fixtures.shared("chat-templates") else { return }
    var count = 0
    for name in try FileSystem.list(folder + "/expected") where name.hasSuffix(".json") {
      let cases = try Cases(folder + "/expected/" + name, templatesIn: folder)
      for item in cases.all {
        #expect(cases.complaint(item) == nil)
        count += 1
      }
    }
    #expect(count > 600)
  }

  /// Templates without expected renderings here must at least be understood.
  @Test func everyPublishedTemplateIsRead() throws {
    guard let folder = Fixtures.shared("chat-templates/templates") else { return }
    for name in try FileSystem.list(folder) where name.hasSuffix(".jinja") {
      _ = try ChatTemplate(try FileSystem.readText(folder + "/" + name), name: name)
    }
  }

  @Test func ourOwnTemplate() throws {
    let folder = Fixtures.path("chat-templates")
    let cases = try Cases(folder + "/tools.json", templatesIn: folder)
    #expect(cases.all.count == 11)
    for item in cases.all { #expect(cases.complaint(item) == nil) }
  }

  /// Small expressions and statements with what Jinja2 makes of them.
  @Test func expressions() throws {
    let document = try FileSystem.readJSON(
      Fixtures.path("chat-templates/expressions.json"), limitBytes: 8 << 20)
    let variables = document["variables"]?.array ?? []
    let rows = document["cases"]?.array ?? []
    #expect(rows.count > 2000)
    for row in rows.compactMap(\.array) {
      let source = try #require(row[0].string)
      let arguments = row.count > 2 ? variables[row[2].integer ?? 0].object ?? [:] : [:]
      let got = Result { () throws(Failure) in
        try ChatTemplate(source, name: "expression").render(
          ChatTemplateInput(
            messages: .array([]), arguments: arguments,
            clock: CivilTime("2026-01-05T09:07:03")))
      }
      switch got {
      case .success(let text):
        #expect(
          row[1].string.map { ExactString($0) == ExactString(text) } == true, "\(source): \(text)")
      case .failure(let failure):
        #expect(row[1].string == nil, "\(source): \(failure)")
        if let raised = row[1]["raises"]?.string { #expect(failure.problem == raised) }
      }
    }
  }

  /// One template serves any number of conversations, from any thread.
  @Test func renderingKeepsNothing() async throws {
    let template = try ChatTemplate(
      "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
      name: "count")
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for count in 0..<16 {
        group.addTask {
          let messages = JSONValue.array(
            Array(repeating: .object(["role": .string("user")]), count: count))
          return try template.render(ChatTemplateInput(messages: messages)) == "\(count)"
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }

  @Test func argumentsGoBeforeSpecialTokens() throws {
    let template = try ChatTemplate("{{ bos_token }}{{ eos_token }}{{ tools }}", name: "t")
    let text = try template.render(
      ChatTemplateInput(
        messages: .array([]), arguments: ["bos_token": .string("a")],
        specialTokens: ["bos_token": .string("b"), "eos_token": .string("c")]))
    #expect(text == "acNone")
  }

  @Test func largeConversationsAreRendered() throws {
    let folder = Fixtures.path("chat-templates")
    let template = try ChatTemplate(
      try FileSystem.readText(folder + "/tools.jinja"), name: "tools.jinja")
    let message = JSONValue.object([
      "role": .string("user"), "content": .string(String(repeating: "many words ", count: 1000)),
    ])
    let text = try template.render(
      ChatTemplateInput(messages: .array(Array(repeating: message, count: 1000))))
    #expect(text.utf8.count > 11_000_000)
  }
}
