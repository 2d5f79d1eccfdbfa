import Glibc
import Support
import TestSupport
import Testing

@Suite struct RunTests {
  @Test func statisticsAreWholeAndAddUp() throws {
    let result = try flashmoe(
      "run", try TinyStore.quantized(), "--ids", "5,6,7,8,9", "-n", "12", "--slots", "13", "-t",
      "2",
      "--ctx", "64", "--json", "--ignore-eos", "--policy", "lru", "--speculation", "off")
    #expect(result.code == 0, "\(result.messages)")
    let document = try result.json()
    #expect(document["prompt_ids"]?.array?.compactMap(\.integer) == [5, 6, 7, 8, 9])
    #expect(document["ids"]?.array?.count == 12)
    #expect(document["finish_reason"]?.string == "length")
    let stats = try #require(document["stats"])
    func integer(_ key: String, in value: JSONValue? = nil) throws -> Int {
      try #require((value ?? stats)[key]?.integer, "\(key)")
    }
    #expect(
      try integer("lookups") == integer("hits") + integer("hits_in_flight") + integer("misses"))
    // 11 tokens are decoded after the first; every one asks 4 experts in 3 layers.
    #expect(try integer("lookups", in: stats["decode"]) == 11 * 4 * 3)
    for key in ["lookups", "misses", "demand_bytes", "read_bytes"] {
      #expect(
        try integer(key)
          == integer(key, in: stats["prefill"]) + integer(key, in: stats["decode"]), "\(key)")
    }
    #expect(try integer("demand_bytes") >= integer("misses") * 4096)
    #expect(try integer("used_bytes") <= integer("speculative_bytes"))
    #expect(try integer("slots") == 13)
    #expect(try integer("records") == 36)
    #expect(try integer("threads") == 2)
    #expect(try integer("peak_bytes") > 0)
    #expect(stats["policy"]?.string == "lru")
    let placement = stats["placement"]?.string ?? ""
    #expect(placement.contains("not pinned") || placement.contains("compute on"))
    for key in [
      "io_wait_seconds", "prefill_seconds", "decode_seconds", "seconds",
      "prompt_tokens_per_second", "tokens_per_second",
    ] {
      #expect(stats[key]?.double != nil, "\(key)")
    }
    for key in ["peak_source", "backend", "kernels"] {
      #expect(stats[key]?.string != nil, "\(key)")
    }
    let phases = try #require(stats["phases"]?.object)
    let parts = phases.members.filter { $0.key != "total_seconds" }.compactMap(\.value.double)
    #expect(abs(parts.reduce(0, +) - (phases["total_seconds"]?.double ?? -1)) < 1e-6)
  }

  @Test func aSavedContextGoesOn() throws {
    let directory = try TemporaryDirectory("prompt-cache")
    let cache = directory.file("context")
    let store = try TinyStore.quantized()
    func run(_ ids: String, _ options: [String] = []) throws -> JSONValue {
      let result = try flashmoe(
        ["run", store, "--ids", ids, "-n", "9", "--ignore-eos", "--json"] + options)
      #expect(result.code == 0, "\(result.messages)")
      return try result.json()
    }
    let short = "11,22,33,44,55,66,77"
    let long = short + ",88,99"
    let want = try run(long)["ids"]
    #expect(try run(short, ["--prompt-cache", cache])["ids"] == run(short)["ids"])
    let resumed = try run(long, ["--prompt-cache", cache, "-t", "1", "--slots", "9"])
    #expect(resumed["ids"] == want)
    #expect(resumed["stats"]?["reused_tokens"]?.integer == 7)
    let refused = try flashmoe(
      "run", store, "--ids", long, "-n", "2", "--prompt-cache", cache, "--kv", "f32")
    #expect(refused.code != 0 && refused.messages.contains("--kv"))
  }

  @Test func howItIsReadNeverChangesAToken() throws {
    let store = try TinyStore.quantized()
    let base = ["run", store, "--ids", "11,22,33,44,55,66", "-n", "16", "--json", "--ignore-eos"]
    let reference = try flashmoe(base).json()["ids"]
    #expect(reference?.array?.count == 16)
    for options in [
      ["--slots", "4"], ["--slots", "13", "--policy", "lfu", "--no-prefetch"],
      ["--io", "pread", "--slots", "9", "--policy", "lru"], ["--direct", "off", "-t", "1"],
      ["--chunk", "2"],
    ] {
      let result = try flashmoe(base + options)
      #expect(result.code == 0, "\(options): \(result.messages)")
      #expect(try result.json()["ids"] == reference, "\(options)")
    }
  }

  /// Drafting changes no token, and its counts add up with those of the stage.
  @Test func draftingNeverChangesAToken() throws {
    let loop = (0..<4).map { _ in "11,22,33,44,55" }.joined(separator: ",")
    let base = [
      "run", try TinyStore.quantized(), "--ids", loop, "-n", "24", "--json", "--ignore-eos",
    ]
    let plain = try flashmoe(base + ["--speculation", "off"]).json()
    #expect(plain["stats"]?["speculation"]?["drafted_tokens"]?.integer == 0)
    #expect(plain["stats"]?["speculation"]?["steps"]?.integer == 23)
    for options in [
      ["--speculation", "lookup"], ["--speculation", "lookup", "--draft-max", "3", "-t", "1"],
      ["--speculation", "auto"], [],
    ] {
      let result = try flashmoe(base + options).json()
      #expect(result["ids"] == plain["ids"], "\(options)")
      let drafts = try #require(result["stats"]?["speculation"])
      let (steps, accepted) = (
        drafts["steps"]?.integer ?? 0, drafts["accepted_tokens"]?.integer ?? 0
      )
      #expect(steps + accepted == 23 && accepted <= drafts["drafted_tokens"]?.integer ?? 0)
    }
    for options in [["--draft-max", "16"], ["--draft-max", "-1"], ["--speculation", "maybe"]] {
      #expect(try flashmoe(base + options).code == 64, "\(options)")
    }
  }

  /// One allowed processor, named: the threads run there and it is told.
  @Test func processorsCanBeNamed() throws {
    let allowed = try #require(CPUSet.allowed()?.first)
    let base = ["run", try TinyStore.quantized(), "--ids", "1,2", "-n", "3", "--cpus"]
    let pinned = try flashmoe(base + ["\(allowed)", "--json"])
    #expect(pinned.code == 0, "\(pinned.messages)")
    let stats = try pinned.json()["stats"]
    #expect(stats?["threads"]?.integer == 1)
    #expect(stats?["placement"]?.string?.contains("compute on \(allowed) (--cpus)") == true)
    let loose = try flashmoe(base + ["off", "--verbose"])
    #expect(loose.messages.contains("not pinned (--cpus off)"), "\(loose.messages)")
    #expect(try flashmoe(base + ["off", "--json"]).json()["ids"] == pinned.json()["ids"])
  }

  @Test func seedsRepeatAndStopStringsEnd() throws {
    let store = try TinyStore.exact()
    let base = ["run", store, "-p", "The quick", "-n", "20", "--temp", "1.5", "--json", "--seed"]
    let first = try flashmoe(base + ["1"]).json()
    #expect(try flashmoe(base + ["1"]).json()["ids"] == first["ids"])
    #expect(try flashmoe(base + ["2"]).json()["ids"] != first["ids"])
    let text = try #require(first["text"]?.string)
    let scalars = text.unicodeScalars
    let stop = String(scalars[scalars.index(scalars.startIndex, offsetBy: scalars.count / 2)])
    let stopped = try flashmoe(base + ["1", "--stop", stop]).json()
    #expect(stopped["finish_reason"]?.string == "stop")
    let rest = try #require(stopped["text"]?.string)
    #expect(text.utf8.starts(with: rest.utf8) && rest.utf8.count < text.utf8.count)
  }

  @Test func promptsMayStartWithADash() throws {
    let result = try flashmoe("run", try TinyStore.exact(), "-p", "-x", "-n", "1", "--json")
    #expect(result.code == 0, "\(result.messages)")
  }

  @Test func interruptStopsAfterATokenAndStillReports() throws {
    let store = try TinyStore.exact()
    let arguments = ["run", store, "-p", "The quick brown fox", "-n", "-1", "--ignore-eos"]
    var child = try ChildProcess(arguments)
    child.waitForOutput(bytes: 8)
    child.send(SIGINT)
    let result = child.finish()
    #expect(result.code == 130)
    #expect(result.messages.contains("decode") && result.messages.contains("tok/s"))
    #expect(!result.messages.contains("error"), "\(result.messages)")
    #expect(result.output.hasSuffix("\n"))
  }

  @Test func brokenPipeIsQuiet() throws {
    let store = try TinyStore.exact()
    var child = try ChildProcess(["run", store, "-p", "The quick", "-n", "-1", "--ignore-eos"])
    child.waitForOutput(bytes: 4)
    child.closeOutput()
    let result = child.wait()
    #expect(result.code == 128 + SIGPIPE)
    #expect(!result.messages.contains("error"))
  }
}
