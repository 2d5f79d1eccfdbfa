import ChatTemplates
import Support
import TestSupport
import Testing

@Suite struct FailureTests {
  private static func render(_ source: String) throws(Failure) -> String {
    try ChatTemplate(source, name: "x.jinja").render(
      ChatTemplateInput(messages: .array([.object(["role": .string("user")])])))
  }

  /// A failure names the template, the line, the problem and what to do.
  @Test(arguments: [
    (
      "a\n{{ 1 + }}", Failure.Kind.malformed,
      ["x.jinja, line 2", "unexpected '}}'", "--chat-template"]
    ),
    ("{% if 1 %}\n\n", .malformed, ["line 1", "'if' of line 1 is never closed"]),
    (
      "{% for a in b %}{% endif %}", .malformed, ["unknown tag 'endif'", "'for' of line 1 is open"]
    ),
    ("{% foo %}", .malformed, ["unknown tag 'foo'"]),
    ("\n{{ 'abc }}", .malformed, ["line 2", "never closed"]),
    ("{% include 'other' %}", .unsupported, ["'include' is not supported", "one file"]),
    ("{% import 'a' as b %}", .unsupported, ["'import'"]),
    ("{% extends 'a' %}", .unsupported, ["'extends'"]),
    (
      "\n\n{{ raise_exception('Roles must alternate') }}", .mismatch,
      ["line 3", "Roles must alternate", "refuses"]
    ),
    ("{{ messages[0].content.strip() }}", .mismatch, ["'dict object' has no attribute 'content'"]),
    ("{{ nothing.there }}", .mismatch, ["'nothing' is undefined"]),
    ("{{ 'a' + 1 }}", .mismatch, ["unsupported operand type(s) for +: 'str' and 'int'"]),
    (
      "{% for m in messages %}\n{{ m|nope }}\n{% endfor %}", .unsupported,
      ["line 2", "no filter named 'nope'"]
    ),
    ("{{ 1 is nope }}", .unsupported, ["no test named 'nope'"]),
    ("{% macro m() %}\n{{ x.y }}\n{% endmacro %}\n\n{{ m() }}", .mismatch, ["line 2"]),
    ("{{ 'x'|urlize }}", .unsupported, ["urlize", "not HTML"]),
  ])
  func isToldWell(_ source: String, _ kind: Failure.Kind, _ pieces: [String]) {
    #expect(complaint(source, kind, pieces) { _ = try Self.render(source) } == nil)
  }

  @Test func largeSourcesAreRefused() {
    let source = String(repeating: "x", count: ChatTemplate.maximumSourceBytes + 1)
    #expect(complaint("", .unsupported, ["larger than"]) { _ = try Self.render(source) } == nil)
  }

  @Test func theClockIsRead() throws {
    let template = try ChatTemplate("{{ strftime_now('%Y-%m-%d %H:%M:%S %A') }}", name: "t")
    func text(_ clock: String) throws -> String {
      let time: CivilTime? = CivilTime(clock)
      return try template.render(
        ChatTemplateInput(messages: .array([]), clock: try #require(time)))
    }
    #expect(try text("2026-01-05T09:07:03") == "2026-01-05 09:07:03 Monday")
    #expect(try text("2024-02-29") == "2024-02-29 00:00:00 Thursday")
    #expect(try text("2026-01-05 23:59") == "2026-01-05 23:59:00 Monday")
    #expect(try text("2026-01-05T09:07:03.25+01:00") == "2026-01-05 09:07:03 Monday")
    for wrong in [
      "", "today", "2026-13-01", "2026-01-32", "2026-01-05T24:00:00", "2026-1", "-1-1-1",
    ] {
      #expect(CivilTime(wrong) == nil, "\(wrong)")
    }
    // Without a clock it is this machine's.
    let now = try template.render(ChatTemplateInput(messages: .array([])))
    #expect(now.hasPrefix("2"))
  }
}
