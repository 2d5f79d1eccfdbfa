import Hub
import HubServer
import Support
import TestSupport
import Testing

/// What a hub may answer to a name, and what the user is told.
@Suite struct RefusalTests {
  private func told(
    _ name: String, _ kind: Failure.Kind, _ words: String...,
    location: SourceLocation = #_sourceLocation, _ prepare: (inout TestHub) -> Void = { _ in }
  ) async throws {
    var hub = try TestHub()
    prepare(&hub)
    let ready = hub
    let failure = await failure { try await ready.pull(name) }
    #expect(failure?.kind == kind, "\(failure?.description ?? "none")", sourceLocation: location)
    for word in words {
      #expect(
        failure?.description.contains(word) == true,
        "\(word) in: \(failure?.description ?? "none")", sourceLocation: location)
    }
  }

  @Test func wrongNames() async throws {
    for name in [
      "", "name", "a/b/c", "../etc", "a/..", "a/b:", "a/b:../c", "a b/c", "-a/b", "a/b:x y",
    ] {
      try await told(name, .usage)
    }
    #expect(try ModelReference(parsing: "https://huggingface.co/a/b:c").repository == "a/b")
    #expect(try ModelReference(parsing: "hf.co/a/b.c:Q4_0").tag == "Q4_0")
  }

  @Test func unknownNamesAndRevisions() async throws {
    try await told("tests/nothing", .notFound, "tests/nothing", "ORG/NAME[:REVISION]")
    try await told("tests/qwen3_moe:v9", .notFound, "v9", "a branch, a tag or a commit")
  }

  @Test func tokens() async throws {
    try await told("tests/qwen3_moe", .io, "licence", "set HF_TOKEN") {
      $0.server.require(token: "right")
    }
    try await told("tests/qwen3_moe", .io, "HF_TOKEN", "tests/qwen3_moe") {
      $0.server.require(token: "right")
      $0.options.token = "wrong"
    }
    try await told("tests/qwen3_moe", .io, "refuses this token (403)") {
      $0.options.token = "right"
      $0.server.misbehaveInLists { _ in .answers(403) }
    }
    try await told("tests/qwen3_moe", .io, "private or gated", "HF_TOKEN") {
      $0.server.misbehaveInLists { _ in .answers(401) }
    }
  }

  @Test func listsAreTriedAgain() async throws {
    let hub = try TestHub()
    hub.server.misbehaveInLists { $0 < 4 ? .answers(503) : nil }
    try await hub.pull()
    #expect(try hub.difference() == nil)
  }

  @Test func wrongEndpoints() async throws {
    try await told("a/b", .usage, "HF_ENDPOINT") { $0.options.endpoint = "ftp://x" }
    try await told("a/b", .io, "connection broke", "3 attempts") {
      $0.options.endpoint = "http://127.0.0.1:1"
      $0.options.attemptCount = 3
    }
  }

  @Test func hostileLists() async throws {
    for path in ["../evil", "/etc/passwd", "a/../../b", "a//b", "a\\b", "a\nb", "."] {
      try await told("tests/evil", .malformed, "not safe") {
        $0.server.add("tests/evil", HubServer.Repository([path: [1]]))
      }
    }
  }

  @Test func repositoriesWithoutAModel() async throws {
    try await told("tests/old", .unsupported, "pytorch_model.bin") {
      $0.server.add(
        "tests/old", HubServer.Repository(["config.json": [1], "pytorch_model.bin": [1]]))
    }
    try await told("tests/none", .unsupported, "no weights") {
      $0.server.add("tests/none", HubServer.Repository(["README.md": [1]]))
    }
    try await told("tests/adapter", .unsupported, "no config.json") {
      $0.server.add("tests/adapter", HubServer.Repository(["model.safetensors": [1]]))
    }
    try await told("tests/cut", .notFound, "model-00002-of-00002.safetensors") {
      let index = #"{"weight_map": {"a": "model-00002-of-00002.safetensors"}}"#
      $0.server.add(
        "tests/cut",
        HubServer.Repository([
          "config.json": [1], "model.safetensors.index.json": Array(index.utf8),
        ]))
    }
  }
}
