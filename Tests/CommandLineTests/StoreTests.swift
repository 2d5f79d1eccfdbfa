import Support
import TestSupport
import Testing

@Suite struct StoreTests {
  @Test func infoOfStoreAndCheckpoint() throws {
    let store = try flashmoe("info", try TinyStore.exact(), "--json").json()
    let checkpoint = try flashmoe("info", TinyStore.checkpoint, "--json").json()
    #expect(store["kind"]?.string == "store")
    #expect(checkpoint["kind"]?.string == "hugging_face")
    for document in [store, checkpoint] {
      #expect(document["parameters"]?.integer == 347_008)
      #expect(document["layers"]?.integer == 3)
      #expect(document["experts"]?.integer == 12)
      #expect(document["experts_per_token"]?.integer == 4)
      #expect(document["vocabulary"]?.integer == 384)
      // All but the eight of twelve experts in three layers a token does not go through.
      #expect(document["active_parameters"]?.integer == 347_008 - 3 * 8 * 3 * 32 * 64)
    }
    #expect(store["records"]?.integer == 36)
    #expect(store["expert_schemes"]?.string == "bf16")
    #expect(checkpoint["weights"]?.integer == 347_008)
    let listed = try flashmoe("info", TinyStore.checkpoint, "--tensors")
    #expect(listed.output.contains("model.layers.2.mlp.experts.11.up_proj.weight"))
    let text = try flashmoe("info", try TinyStore.quantized(), "--tensors")
    #expect(text.code == 0)
    #expect(text.output.contains("q4") && text.output.contains("36 records"), "\(text.output)")
  }

  @Test func verifyOfASoundStore() throws {
    let result = try flashmoe("verify", try TinyStore.quantized(), "--json")
    #expect(result.code == 0, "\(result.messages)")
    let document = try result.json()
    #expect(document["sound"]?.bool == true)
    #expect(document["records"]?.integer == 36)
    #expect(document["problems"]?.array?.isEmpty == true)
  }

  @Test func packIsTheSameTwiceAndHonoursSchemes() throws {
    let directory = try TemporaryDirectory("cli")
    let first = directory.file("a.fmoe")
    let second = directory.file("b.fmoe")
    for (path, threads) in [(first, "1"), (second, "3")] {
      let result = try flashmoe(
        "pack", TinyStore.checkpoint, "-o", path, "--scheme", "q8", "--override", "*.down=f16",
        "--resident-scheme", "bf16", "-t", threads)
      #expect(result.code == 0, "\(result.messages)")
      #expect(result.output.contains("relative error"))
    }
    for file in ["manifest.json", "resident.bin", "experts/layer-02.bin"] {
      #expect(
        try FileSystem.readBytes(first + "/" + file) == FileSystem.readBytes(second + "/" + file))
    }
    let info = try flashmoe("info", first, "--json", "--tensors").json()
    let sections = info["layers"]?.array?.first?["sections"]?.array ?? []
    #expect(sections.map { $0["type"]?.string } == ["q8", "f16"])
    #expect(info["resident_schemes"]?.string == "bf16")

    let again = try flashmoe("pack", TinyStore.checkpoint, "-o", first, "--overwrite")
    #expect(again.code == 0, "\(again.messages)")
    #expect(try flashmoe("info", first, "--json").json()["expert_schemes"]?.string == "q4")
  }

  /// The names that users of llama.cpp type mean the same.
  @Test func familiarNamesOfTheCacheType() throws {
    let store = try TinyStore.exact()
    for names in [
      ["--kv", "q8"], ["--kv", "q8_0"], ["--cache-type-k", "q8_0", "--cache-type-v", "q8_0"],
      ["-ctk", "q8_0", "-ctv", "q8_0"], ["-ctk", "q8"],
    ] {
      let plan = try flashmoe(["plan", store, "--ram", "1GB", "--no-probe", "--json"] + names)
      #expect(try plan.json()["kv"]?.string == "q8", "\(names)")
      #expect(try plan.json()["kv_q8_saving_bytes"]?.integer == 0)
    }
    let help = try flashmoe("help", "run").output
    #expect(help.contains("q8 is lossy") && !help.contains("--cache-type-k"))
  }

  @Test func planAddsUp() throws {
    let result = try flashmoe(
      "plan", try TinyStore.exact(), "--ram", "30MB", "--ctx", "128", "--no-probe", "--json")
    let plan = try result.json()
    let items = plan["items"]?.array?.compactMap { $0["bytes"]?.integer } ?? []
    #expect(items.reduce(0, +) == plan["planned_bytes"]?.integer)
    let planned = try #require(plan["planned_bytes"]?.integer)
    #expect(planned <= 30_000_000)
    #expect(plan["context"]?.integer == 128)
    #expect(plan["expected"]?["disk_bytes_per_second"]?.isNull == true)
    let text = try flashmoe("plan", try TinyStore.exact(), "--ram", "30MB", "--no-probe")
    #expect(text.output.contains("expert cache") && text.output.contains("of a budget of 30.0 MB"))
  }

  @Test func synthReportsRouting() throws {
    let directory = try TemporaryDirectory("cli")
    let store = directory.file("synthetic.fmoe")
    let result = try flashmoe(
      "synth", "--shape", "qwen3-tiny", "--skew", "0", "--seed", "7", "-o", store,
      "--report-tokens", "64", "--json")
    #expect(result.code == 0, "\(result.messages)")
    let routing = try result.json()["routing"]
    #expect(routing?["distinct_experts"]?.array?.compactMap(\.integer) == [8, 8, 8])
    let rates = routing?["hit_rates"]?.array?.compactMap { $0["lru"]?.double } ?? []
    #expect(rates.count >= 3)
    #expect(rates == rates.sorted(), "a larger cache hits more")
    let last = try #require(rates.last)
    #expect(last > 0.4 && last < 1)
    #expect(try flashmoe("verify", store).code == 0)
    let run = try flashmoe("run", store, "--ids", "1,2,3", "-n", "4", "--json")
    #expect(try run.json()["ids"]?.array?.count == 4)
    let text = try flashmoe("run", store, "-p", "Hello")
    #expect(text.code == 64)
    #expect(text.messages.contains("--ids"))
  }
}
