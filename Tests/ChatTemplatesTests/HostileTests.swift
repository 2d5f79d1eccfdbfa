import ChatTemplates
import Support
import TestSupport
import Testing

@Suite struct HostileTests {
  private static func render(_ source: String, arguments: JSONObject = [:]) throws(Failure)
    -> String
  {
    try ChatTemplate(source, name: "hostile.jinja").render(
      ChatTemplateInput(messages: .array([]), arguments: arguments))
  }

  /// Every bound ends with one error that names the template and what was passed.
  @Test(arguments: [
    ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps"),
    ("{% for i in range(10**9) %}{% endfor %}", "range of more than"),
    ("{{ 'a' * 10**9 }}", "bytes of text"),
    ("{{ [1] * 10**9 }}", "bytes of text"),
    (
      "{% set ns = namespace(s='a') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "bytes of text"
    ),
    ("{{ 'a'.center(10**15) }}{{ 'a'|indent(10**15) }}", "bytes of text"),
    ("{{ ('a' * 99999) | replace('a', 'b' * 99999) }}", "bytes of text"),
    ("{{ '%999999999d' % 1 }}", "width or precision"),
    ("{{ '{:999999999}'.format(1) }}", "width or precision"),
    ("{{ [1] | tojson(indent=10**12) }}", "bytes of text"),
    ("{{ [1] | batch(10**12, 0) | list }}", "bytes of text"),
    ("{{ [1] | slice(10**12) | list }}", "bytes of text"),
    ("{{ strftime_now('%0100000000d') }}", "strftime_now"),
    ("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "levels of calls"),
    (
      "{% macro m() %}{{ caller() }}{% endmacro %}{% macro r() %}{% call m() %}{{ r() }}{% endcall %}{% endmacro %}{{ r() }}",
      "levels of calls"
    ),
    ("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "levels of calls"),
    (
      "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
      "more than"
    ),
    (
      "{% set ns = namespace(l=[]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}",
      "levels"
    ),
    (
      "{% set ns = namespace(l=[]) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
      "more than"
    ),
    (
      "{% set ns = namespace(l=[]) %}{% for i in range(90) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l < ns.l }}",
      "steps"
    ),
    (
      "{% set ns = namespace(l=()) %}{% for i in range(90) %}{% set ns.l = (ns.l, ns.l) %}{% endfor %}{{ {ns.l: 1} }}",
      "key of more than"
    ),
    ("{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}", "levels of calls"),
    ("{{ 9223372036854775807 + 1 }}", "64 bits"),
    ("{{ 2 ** 64 }}", "64 bits"),
  ])
  func boundsAreKept(_ source: String, _ piece: String) {
    #expect(
      complaint(source, .unsupported, ["hostile.jinja, line 1", piece]) {
        _ = try Self.render(source)
      } == nil)
  }

  /// Sources whose trees would be too deep, and long ones that are not.
  @Test func nestingIsBounded() throws {
    func nested(_ open: String, _ close: String, _ count: Int) -> String {
      String(repeating: open, count: count) + "1" + String(repeating: close, count: count)
    }
    let deep = [
      "{{ " + nested("(", ")", 5000) + " }}", "{{ " + nested("[", "]", 5000) + " }}",
      "{{ " + nested("f(", ")", 5000) + " }}", "{{ " + nested("-", "", 5000) + " }}",
      "{{ " + nested("1 if 1 else ", "", 5000) + " }}",
      nested("{% if 1 %}", "{% endif %}", 5000), nested("{% macro m() %}", "{% endmacro %}", 5000),
      "{% set " + nested("(", ")", 5000) + " = 1 %}",
    ]
    for source in deep {
      #expect(complaint("", .malformed, ["levels deep"]) { _ = try Self.render(source) } == nil)
    }
    #expect(try Self.render(nested("{% if 1 %}", "{% endif %}", 90)) == "1")
    #expect(try Self.render("{{ 1" + String(repeating: " + 1", count: 50_000) + " }}") == "50001")
    #expect(try Self.render("{{ 1" + String(repeating: "|abs", count: 50_000) + " }}") == "1")
    #expect(try Self.render("{{ " + String(repeating: "not ", count: 50_000) + "1 }}") == "True")
    #expect(try Self.render(String(repeating: "{% set a = 1 %}", count: 20_000) + "{{ a }}") == "1")
  }

  @Test(arguments: [
    "{{ ''.__class__.__mro__ }}", "{{ ''['__class__']['__mro__'] }}",
    "{{ (''|attr('__class__')).x }}", "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ messages.append(1) }}", "{{ {}.update({}) }}", "{{ [].pop() }}", "{{ {}.pop('a') }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ [[['a']]]|map(attribute='0.append')|map('abs')|list }}",
    "{{ raise_exception.__globals__['x'] }}",
  ])
  func valuesCannotBeChangedOrLookedInto(_ source: String) {
    #expect(throws: Failure.self) { try Self.render(source) }
  }

  /// Objects that hold each other, in circles and in long chains, are let go without recursion.
  @Test func circlesAndChainsAreFreed() throws {
    for step in [
      "{% set n = namespace(a=ns.l) %}{% set ns.l = n %}",
      "{% set prev = ns.f %}{% call m() %}x{% endcall %}",
      "{% for j in [1] %}{{ loop.changed([ns.l]) }}{% set ns.l = loop %}{% endfor %}",
    ] {
      let source =
        "{% set ns = namespace(l=1, f=1) %}{% macro m() %}{% set ns.f = caller %}{% endmacro %}"
        + "{% for i in range(50000) %}\(step){% endfor %}."
      #expect(try Self.render(source).hasSuffix("."))
    }
    for step in ["joiner(ns.l)", "cycler(ns.l)", "{'a': ns.l}.items()", "[ns.l]|map('default')"] {
      let source =
        "{% set ns = namespace(l=[]) %}{% for i in range(50000) %}{% set ns.l = \(step) %}{% endfor %}"
      #expect(complaint(step, .unsupported, ["levels"]) { _ = try Self.render(source) } == nil)
    }
  }

  /// As deep as JSON may be.
  @Test func deepArgumentsAreWelcome() throws {
    var value = JSONValue.integer(1)
    for _ in 0..<126 { value = .object(["a": .array([value])]) }
    let deep = try Self.render(
      "{{ x|tojson|length }} {{ x|string|length }} {{ x == x }}",
      arguments: ["x": .array([.integer(1)])])
    #expect(deep == "3 3 True")
    #expect(throws: Failure.self) { try Self.render("{{ x }}", arguments: ["x": value]) }
    let text = String(repeating: "[", count: 127) + String(repeating: "]", count: 127)
    let parsed = try JSONValue.parse(text, subject: "x")
    #expect(
      try Self.render("{{ x|tojson }}{{ x }}{{ x == x }}", arguments: ["x": parsed]) == text + text
        + "True")
  }

  @Test func searchesAreNotQuadratic() throws {
    let x = "{% set x = 'a' * 400000 %}{% set y = 'a' * 150000 ~ 'b' %}"
    for use in [
      "x.find(y)", "x.rfind(y)", "y in x", "x.count(y)", "x.split(y)|length",
      "x.rsplit(y, 1)|length",
      "(x|replace(y, ''))|length", "(x|wordwrap(3))|length", "('a-' * 100000)|wordwrap(5)|length",
    ] {
      _ = try Self.render(x + "{{ \(use) }}")
    }
  }

  @Test func mutatedTemplatesNeverCrash() throws {
    let folder = Fixtures.path("chat-templates")
    var seeds = [try FileSystem.readBytes(folder + "/tools.jinja")]
    let rows = try FileSystem.readJSON(folder + "/expressions.json", limitBytes: 8 << 20)["cases"]
    for row in (rows?.array ?? []).compactMap(\.array) where row.count > 0 {
      if let source = row[0].string { seeds.append(Array(source.utf8)) }
    }
    let cases = try Cases(folder + "/tools.json", templatesIn: folder)
    let inputs = cases.all.map(cases.input)
    var limits = RenderingLimits()
    limits.steps = 100_000
    limits.bytes = 4 << 20
    var fuzzer = Fuzzer(
      "template", seeds: seeds,
      dictionary: [
        "{%", "%}", "{{", "}}", "{#", "-%}", "if", "else", "for", "in", "endfor", "endif", "loop",
        "set", "macro", "call", "|", "**", "//", "[::-1]", "is not", "(", ")", "~", "'", "messages",
        "namespace()", "loop(messages)", "9223372036854775807", "-9223372036854775808", "1e308",
      ], seed: 3)
    var next = 0
    let outcome = try fuzzer.run(iterations: 4000) { bytes in
      let template = try ChatTemplate(String(decoding: bytes, as: UTF8.self), name: "fuzz")
      next += 1
      _ = try template.render(inputs[next % inputs.count], limits: limits)
    }
    #expect(outcome.accepted > 100 && outcome.refused > 100)
  }
}
