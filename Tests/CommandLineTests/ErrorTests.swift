import Glibc
import Support
import TestSupport
import Testing

/// Every error: one sentence on stderr, a document with --json, an exit code, no stack trace.
@Suite struct ErrorTests {
  private func expectFailure(
    _ arguments: [String], code: Int32, kind: String, _ words: String...,
    location: SourceLocation = #_sourceLocation
  ) throws {
    let plain = try flashmoe(arguments)
    #expect(plain.code == code, "\(plain.messages)", sourceLocation: location)
    #expect(plain.output.isEmpty, sourceLocation: location)
    #expect(plain.messages.contains("error: "), sourceLocation: location)
    #expect(!plain.messages.contains("Fatal error"), sourceLocation: location)
    let machine = try flashmoe(arguments + ["--json"])
    #expect(machine.code == code, sourceLocation: location)
    let error = try machine.json()["error"]
    #expect(error?["kind"]?.string == kind, sourceLocation: location)
    let told = [error?["subject"], error?["place"], error?["problem"], error?["remedy"]]
      .compactMap { $0?.string }.joined(separator: " ")
    for word in words {
      #expect(told.contains(word), "\(word) in: \(told)", sourceLocation: location)
      #expect(plain.messages.contains(word), "\(word)", sourceLocation: location)
    }
  }

  @Test func missingStore() throws {
    try expectFailure(
      ["run", "/nonexistent.fmoe", "-p", "x"], code: 1, kind: "notFound", "/nonexistent.fmoe",
      "flashmoe pack")
    try expectFailure(["verify", "/nonexistent.fmoe"], code: 1, kind: "notFound", "/nonexistent")
    try expectFailure(["info", "/nonexistent"], code: 1, kind: "notFound", "/nonexistent")
    try expectFailure(
      ["pack", "/nonexistent", "-o", "/tmp/never.fmoe"], code: 1, kind: "notFound", "/nonexistent")
  }

  @Test func notAStore() throws {
    try expectFailure(
      ["run", TinyStore.checkpoint, "-p", "x"], code: 1, kind: "notFound",
      "looks like a checkpoint",
      "flashmoe pack")
    try expectFailure(
      ["plan", TinyStore.checkpoint + "/config.json"], code: 1, kind: "notFound", "not a store")
  }

  @Test func noDemoModel() throws {
    let result = try flashmoe(
      ["run", "-p", "x"], environment: ["FLASHMOE_DEMO_STORE=/nonexistent/demo.fmoe"])
    #expect(result.code == 1)
    #expect(result.messages.contains("/nonexistent/demo.fmoe"))
  }

  @Test(arguments: ["6XB", "-1GB", "0", "six", "1e9"])
  func badSizes(size: String) throws {
    let result = try flashmoe("plan", try TinyStore.exact(), "--ram=\(size)")
    #expect(result.code == 64)
    #expect(result.messages.contains("6GB, 6GiB, 512MB"), "\(result.messages)")
  }

  @Test func usage() throws {
    let store = try TinyStore.exact()
    try expectFailure(["run", store], code: 64, kind: "usage", "-p TEXT")
    try expectFailure(["run", store, "-p", "a", "--ids", "1"], code: 64, kind: "usage", "only one")
    try expectFailure(["run", store, "--ids", "1,x"], code: 64, kind: "usage", "\"x\"")
    try expectFailure(["run", store, "--ids", "1,,2"], code: 64, kind: "usage", "missing")
    try expectFailure(["run", store, "-f", "/tmp"], code: 64, kind: "usage", "a directory")
    try expectFailure(
      ["run", store, "-p", "a", "--slots", "1"], code: 64, kind: "usage", "--slots")
    try expectFailure(["run", store, "--ids", "999999"], code: 64, kind: "usage", "vocabulary")
    try expectFailure(["run", store, "-p", "a", "--temp=-1"], code: 64, kind: "usage", "--temp")
    try expectFailure(["run", store, "-p", "a", "--policy", "mru"], code: 64, kind: "usage", "mru")
    try expectFailure(
      ["run", store, "-p", "a", "--ctx", "99999999"], code: 64, kind: "usage", "--ctx")
    try expectFailure(
      ["run", store, "-p", "a", "--cpus", "3-1"], code: 64, kind: "usage", "--cpus", "0-3,8")
    for command in [["run", store, "-p", "a"], ["plan", store, "--no-probe"]] {
      try expectFailure(
        command + ["--cpus", "8000"], code: 64, kind: "usage", "--cpus", "may not use",
        "It may use")
      try expectFailure(
        command + ["--cpus", "0", "-t", "2"], code: 64, kind: "usage", "2 threads on 1 processors")
    }
    try expectFailure(
      ["plan", store, "-ctk", "q8_0", "-ctv", "f16"], code: 64, kind: "usage", "one type")
    try expectFailure(["plan", store, "--kv", "q4"], code: 64, kind: "usage", "q4")
    try expectFailure(["run", store, "-p", ""], code: 64, kind: "usage", "empty")
    try expectFailure(["logits", store, "-o", "/tmp/x"], code: 64, kind: "usage", "--ids")
    try expectFailure(["fly"], code: 64, kind: "usage")
  }

  @Test func budgetOneByteTooSmall() throws {
    let store = try TinyStore.exact()
    let plan = try flashmoe("plan", store, "--ram", "1GB", "--ctx", "64", "--no-probe", "--json")
    let minimum = try #require(try plan.json()["minimum_bytes"]?.integer)
    let arguments = ["run", store, "--ids", "1,2", "-n", "2", "--ctx", "64", "--ram"]
    let enough = try flashmoe(arguments + ["\(minimum)", "--json"])
    #expect(enough.code == 0, "\(enough.messages)")
    #expect(try enough.json()["stats"]?["budget_bytes"]?.integer == minimum)
    try expectFailure(
      arguments + ["\(minimum - 1)"], code: 1, kind: "budget", "1 bytes too small", "\(minimum)")
  }

  @Test func planSaysWhatWouldFit() throws {
    let store = try TinyStore.exact()
    let wide = try flashmoe("plan", store, "--ram", "1GB", "--ctx", "256", "--no-probe", "--json")
    let minimum = try #require(try wide.json()["minimum_bytes"]?.integer)
    let refused = try flashmoe("plan", store, "--ram", "\(minimum - 1)", "--ctx", "256", "--json")
    #expect(refused.code == 1)
    let document = try refused.json()
    #expect(document["fits"]?.bool == false)
    #expect(document["error"]?["kind"]?.string == "budget")
    #expect(document["minimum_bytes"]?.integer == minimum)
    let eightBit = try #require(document["kv_q8_minimum_bytes"]?.integer)
    #expect(eightBit < minimum)
    let halved = try flashmoe(
      "plan", store, "--ram", "\(eightBit)", "--ctx", "256", "--kv", "q8", "--no-probe")
    #expect(halved.code == 0, "\(halved.messages)")
    let context = try #require(document["context_that_fits"]?.integer)
    let smaller = try flashmoe(
      "plan", store, "--ram", "\(minimum - 1)", "--ctx", "\(context)", "--no-probe")
    #expect(smaller.code == 0, "\(smaller.messages)")
  }

  @Test func packRefusals() throws {
    let directory = try TemporaryDirectory("cli")
    let output = directory.file("out.fmoe")
    try expectFailure(
      ["pack", TinyStore.checkpoint, "-o", output, "--scheme", "q7"], code: 64, kind: "usage", "q7",
      "q4a")
    try expectFailure(
      ["pack", TinyStore.checkpoint, "-o", output, "--override", "nothing"], code: 64,
      kind: "usage", "PATTERN=SCHEME")
    try expectFailure(
      ["pack", TinyStore.checkpoint, "-o", try TinyStore.exact()], code: 64, kind: "usage",
      "exists already")
    try expectFailure(
      ["synth", "--shape", "gpt-9", "-o", output], code: 64, kind: "usage", "qwen3-30b-a3b")
    #expect(try FileSystem.list(directory.path).isEmpty)
  }

  @Test func unwritableOutput() throws {
    let store = try TinyStore.exact()
    let target = "/nonexistent/directory/out.safetensors"
    try expectFailure(
      ["logits", store, "--ids", "1", "-o", target], code: 1, kind: "notFound", target)
    let result = try flashmoe("logits", store, "--ids", "1", "-o", "/proc/out.safetensors")
    #expect(result.code == 1)
    #expect(result.messages.contains("/proc/out.safetensors"))
  }

  @Test func failedLogitsLeaveNothing() throws {
    let directory = try TemporaryDirectory("cli")
    let output = directory.file("out.safetensors")
    let result = try flashmoe("logits", try TinyStore.exact(), "--ids", "1,99999", "-o", output)
    #expect(result.code == 64)
    #expect(try FileSystem.list(directory.path).isEmpty)
  }

  @Test func damagedRecordIsNamedAndNeverUsed() throws {
    let directory = try TemporaryDirectory("cli")
    let store = try TinyStore.copy(try TinyStore.exact(), into: directory)
    let path = store + "/experts/layer-01.bin"
    var bytes = try FileSystem.readBytes(path)
    bytes[bytes.count / 12 * 7 + 100] ^= 0x10
    try directory.write(bytes, to: "copy.fmoe/experts/layer-01.bin")

    let verified = try flashmoe("verify", store)
    #expect(verified.code == 1)
    #expect(verified.output.contains("layer 1, expert 7"), "\(verified.output)")
    let machine = try flashmoe("verify", store, "--json")
    #expect(machine.code == 1)
    let document = try machine.json()
    #expect(document["sound"]?.bool == false)
    #expect(document["problems"]?.array?.count == 1)

    // Every expert of the layer is needed sooner or later.
    let text = try FileSystem.readText(TinyStore.checkpoint + "/text.json")
    let source = try directory.write(text, to: "prompt.txt")
    let run = try flashmoe("run", store, "-f", source, "-n", "4")
    #expect(run.code == 1)
    #expect(run.messages.contains("layer-01.bin"), "\(run.messages)")
    #expect(run.messages.contains("expert 7"), "\(run.messages)")
  }
}
