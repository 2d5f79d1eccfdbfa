@testable import Hub
import HubServer
import Support
import TestSupport
import Testing

@Suite struct GGUFSelectionTests {
  private static let files: [String: [UInt8]] = [
    "README.md": [1], "config.json": [2], "mmproj-model-f16.gguf": [3], "imatrix.gguf": [4],
    "model-Q4_0.gguf": [5, 5], "model-Q4_K_M.gguf": [6], "model-UD-Q4_K_M.gguf": [7],
    "model-Q8_0-00001-of-00002.gguf": [8], "model-Q8_0-00002-of-00002.gguf": [9],
    "BF16/model-BF16-00001-of-00003.gguf": [10], "BF16/model-BF16-00002-of-00003.gguf": [11],
  ]

  private func pull(_ tag: String, revision: String? = nil) async throws -> [String] {
    let hub = try TestHub()
    hub.server.add(
      "tests/gguf", HubServer.Repository(Self.files, revisions: ["main", "Q6", "v1"]))
    try await hub.pull("tests/gguf" + tag, revision: revision)
    return try FileSystem.list(hub.output).filter { $0 != ".flashmoe-pull.json" }
  }

  @Test func quantizations() async throws {
    #expect(try await pull(":Q4_0") == ["model-Q4_0.gguf"])
    #expect(try await pull(":q4_k_m") == ["model-Q4_K_M.gguf"])
    #expect(try await pull(":UD-Q4_K_M") == ["model-UD-Q4_K_M.gguf"])
    #expect(
      try await pull(":Q8_0", revision: "v1")
        == ["model-Q8_0-00001-of-00002.gguf", "model-Q8_0-00002-of-00002.gguf"])
  }

  @Test func whatThereIsIsListed() async throws {
    for tag in ["", ":Q6", ":Q3_K", ":v1"] {
      let failure = await failure { _ = try await pull(tag) }
      #expect(
        failure?.description.contains("Q4_0 (2 B), Q8_0 (2 B)") == true
          || failure?.description.contains("Q4_0 (2 B)") == true,
        "\(failure?.description ?? "none")")
    }
    let cut = await failure { _ = try await pull(":BF16") }
    #expect(cut?.description.contains("2 of 3 parts") == true, "\(cut?.description ?? "none")")
  }

  @Test func labels() {
    #expect(GGUFFiles.label("Qwen3-30B-A3B-Q4_K_M") == "Q4_K_M")
    #expect(GGUFFiles.label("qwen3-30b-a3b.q4_0") == "Q4_0")
    #expect(GGUFFiles.label("gpt-oss-20b-MXFP4") == "MXFP4")
    #expect(GGUFFiles.label("model-UD-IQ2_XXS") == "UD-IQ2_XXS")
    #expect(GGUFFiles.label("model-fp16") == "FP16")
    #expect(GGUFFiles.label("Qwen3-30B") == nil)
    #expect(GGUFFiles.stem("a-Q4_0-00001-of-00003.gguf").stem == "a-Q4_0")
    #expect(GGUFFiles.stem("a-of-b.gguf").partCount == 1)
  }

  @Test func addresses() throws {
    let base = try #require(WebAddress("https://Hub.example/x/y?q=1#z"))
    #expect(base.origin == WebAddress.Origin(isSecure: true, host: "hub.example", port: 443))
    #expect(base.target == "/x/y?q=1")
    #expect(base.shown == "https://hub.example/x/y")
    #expect(base.following("/a")?.text == "https://hub.example/a")
    #expect(base.following("b?c")?.text == "https://hub.example/x/b?c")
    #expect(base.following("//other:8/d")?.text == "https://other:8/d")
    #expect(base.following("http://[::1]:8080/e")?.origin.host == "[::1]")
    #expect(base.following("ftp://x/y") == nil)
    #expect(WebAddress("https://user@host/") == nil)
    #expect(WebAddress("https://host:99999/") == nil)
    #expect(WebAddress("http://h")?.appending(["a b", "ü"]).text == "http://h/a%20b/%C3%BC")
    #expect(ContentRange("bytes 0-99/1000") == ContentRange("bytes 0-99/1000"))
    #expect(ContentRange("bytes 0-99/1000")?.range == 0..<100)
    for text in [
      "bytes 5-4/10", "bytes 0-9/9", "0-9/10", "bytes */10", "bytes 0-/10", "bytes -1-2/3",
    ] {
      #expect(ContentRange(text) == nil, "\(text)")
    }
    #expect(RetryAfter.unixTime("Wed, 21 Oct 2015 07:28:00 GMT") == 1_445_412_480)
    #expect(RetryAfter.unixTime("Thu, 29 Feb 2024 00:00:00 GMT") == 1_709_164_800)
    #expect(RetryAfter.seconds("17") == 17)
    #expect(RetryAfter.seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0)
    #expect(RetryAfter.seconds("soon") == nil)
    #expect(ProxySetting.isExcluded("api.hub.example", by: "x, .hub.example"))
    #expect(!ProxySetting.isExcluded("nothub.example", by: "hub.example"))
  }
}
