import FlashMoE
import Support
import TestSupport
import Testing

/// `trace`, `simulate` and `calibrate`, from tokens to tables.
@Suite struct RoutingTests {
  private static let tokenCount = 120
  /// Tokens that come again, none of them special.
  private static let ids = (0..<tokenCount).map { "\(10 + $0 * $0 % 97)" }.joined(separator: ",")

  /// A trace of the exact tiny store.
  private func trace(in directory: TemporaryDirectory, _ name: String = "a.trace") throws -> String
  {
    let path = directory.file(name)
    let result = try flashmoe("trace", try TinyStore.exact(), "--ids", Self.ids, "-o", path)
    #expect(result.code == 0, "\(result.messages)")
    #expect(result.output.contains("\(Self.tokenCount) tokens, 3 layers of 12 experts"))
    return path
  }

  @Test func traceOfIDsAndOfTexts() throws {
    let directory = try TemporaryDirectory("routing")
    let store = try TinyStore.exact()
    let path = directory.file("b.trace")
    let result = try flashmoe("trace", store, "--ids", Self.ids, "-n", "50", "-o", path, "--json")
    let document = try result.json()
    #expect(document["tokens"]?.integer == 50)
    #expect(document["bytes"]?.integer == (try FileSystem.readBytes(path)).count)
    #expect(document["texts"]?.array?.count == 1)
    #expect(document["fingerprint"]?.string?.count == 16)
    // The same tokens whatever the cache: the same file to the byte.
    let again = directory.file("c.trace")
    _ = try flashmoe(
      "trace", store, "--ids", Self.ids, "-n", "50", "-o", again, "--slots", "4", "--policy", "lru")
    #expect(try FileSystem.readBytes(path) == FileSystem.readBytes(again))

    let text = try directory.write("A fox sat by the well.\n", to: "fox.txt")
    let other = try directory.write("Once there was a mill.\n", to: "mill.txt")
    let both = try flashmoe(
      "trace", store, "-f", text, "--file", other, "-n", "6", "-o", path, "--json"
    ).json()
    #expect(both["texts"]?.array?.map { $0["name"]?.string } == ["fox.txt", "mill.txt"])
    #expect(both["tokens"]?.integer == 12)
    let piped = try flashmoe(
      ["trace", store, "-f", "-", "-o", path, "--json"], input: "The king said.")
    #expect(piped.code == 0, "\(piped.messages)")
  }

  @Test func simulateCountsAndBounds() throws {
    let directory = try TemporaryDirectory("routing")
    let path = try trace(in: directory)
    let result = try flashmoe(
      "simulate", path, "--slots", "12,50%,100%", "--policy", "all", "--popularity", path,
      "--prediction", "both", "--json")
    #expect(result.code == 0, "\(result.messages)")
    let document = try result.json()
    let entries = try #require(document["results"]?.array)
    #expect(document["records"]?.integer == 36)
    // Six online policies, popularity and the optimum; three sizes; with prediction and without.
    #expect(entries.count == 8 * 3 * 2)
    for entry in entries {
      let lookups = try #require(entry["lookups"]?.integer)
      let (hits, misses) = (entry["hits"]?.integer ?? -1, entry["misses"]?.integer ?? -1)
      #expect(lookups == Self.tokenCount * 3 * 4)
      #expect(hits + misses == lookups)
      let read = (entry["demand_bytes"]?.integer ?? 0) + (entry["speculative_bytes"]?.integer ?? 0)
      #expect(entry["read_bytes"]?.integer == read)
      let optimum = entries.first {
        $0["policy"]?.string == "belady" && $0["slots"] == entry["slots"]
      }
      #expect(read >= optimum?["read_bytes"]?.integer ?? .max)
      if entry["slots"]?.integer == 36 { #expect(misses <= 36) }
      if entry["policy"]?.string == "lru", let gap = entry["gap_closed"]?.double {
        #expect(gap == 0)
      }
    }
    // Larger caches hit more, by every policy.
    for policy in Set(entries.compactMap { $0["policy"]?.string }) {
      let rates = entries.filter {
        $0["policy"]?.string == policy && $0["prediction"]?.bool == false
      }.compactMap { $0["hit_rate"]?.double }
      #expect(rates.count == 3 && rates == rates.sorted(), "\(policy)")
    }
  }

  @Test func simulatePrintsATableAndDraws() throws {
    let directory = try TemporaryDirectory("routing")
    let path = try trace(in: directory)
    let (svg, page) = (directory.file("rates.svg"), directory.file("rates.html"))
    let result = try flashmoe(
      "simulate", path, "--slots", "12,24", "--policy", "lru,foresight,belady", "--plot", svg)
    #expect(result.code == 0, "\(result.messages)")
    let lines = result.output.split(separator: "\n").map { $0.split(separator: " ") }
    #expect(lines[0].contains("a.trace"))
    #expect(lines[1].joined(separator: " ").hasPrefix("slots of all prediction policy hits misses"))
    for (slots, share) in [("12", "33.3"), ("24", "66.7")] {
      for policy in ["lru", "foresight", "belady"] {
        let line = lines.first { $0.first == slots[...] && $0.contains(policy[...]) }
        #expect(line?.contains(share[...]) == true, "\(slots) \(policy)")
      }
    }
    let drawing = String(decoding: try FileSystem.readBytes(svg), as: UTF8.self)
    #expect(drawing.hasPrefix("<svg ") && drawing.hasSuffix("</svg>\n"))
    #expect(drawing.split(separator: "<polyline").count == 3 + 1)
    #expect(drawing.split(separator: "<circle").count == 3 * 2 + 1)
    for name in ["lru", "foresight", "belady"] { #expect(drawing.contains(">\(name)</text>")) }
    #expect(!drawing.contains("nan") && !drawing.contains("inf"))

    _ = try flashmoe("simulate", path, "--slots", "12", "--plot", page, "--json")
    let html = String(decoding: try FileSystem.readBytes(page), as: UTF8.self)
    #expect(html.hasPrefix("<!doctype html>") && html.contains("<svg "))
    let wrong = try flashmoe("simulate", path, "--plot", directory.file("rates.png"))
    #expect(wrong.code == 64 && wrong.messages.contains(".svg"))
  }

  @Test func hostileTraces() throws {
    let directory = try TemporaryDirectory("routing")
    let good = try FileSystem.readBytes(try trace(in: directory))
    var flipped = good
    flipped[good.count / 2] ^= 4
    var later = good
    later[8] = 9
    let text = Array("not a trace at all, only some text that is long enough".utf8)
    for (name, bytes, word) in [
      ("empty", [], "not a routing trace"), ("text", text, "not a routing trace"),
      ("short", Array(good.dropLast(100)), "damaged"), ("flipped", flipped, "damaged"),
      ("later", later, "version 9"),
    ] {
      let path = directory.file(name + ".trace")
      try FileSystem.writeAtomically(bytes, to: path)
      let result = try flashmoe("simulate", path)
      #expect(result.code == 1 && result.output.isEmpty)
      #expect(result.messages.contains(path) && result.messages.contains(word), "\(name)")
      #expect(result.messages.contains("flashmoe trace"), "\(result.messages)")
      let machine = try flashmoe("simulate", path, "--json").json()
      #expect(machine["error"]?["subject"]?.string == path)
    }
    for path in [directory.file("nowhere.trace"), directory.file("")] {
      let result = try flashmoe("simulate", path)
      #expect(result.code == 1 && result.messages.contains("trace"), "\(result.messages)")
    }
  }

  @Test func badArguments() throws {
    let directory = try TemporaryDirectory("routing")
    let path = try trace(in: directory)
    for (arguments, word) in [
      (["--slots", "3"], "needs 4"), (["--slots", "12,,"], "--slots"),
      (["--slots", "75%-10%"], "--slots"), (["--policy", "mru"], "foresight"),
      (["--policy", "popularity"], "--popularity"),
      (["--warmup", "\(Self.tokenCount)"], "--warmup"),
    ] {
      let result = try flashmoe(["simulate", path] + arguments)
      #expect(result.code == 64, "\(arguments)")
      #expect(result.messages.contains(word), "\(result.messages)")
    }
    let store = try TinyStore.exact()
    for command in [["trace", store, "-o", directory.file("x.trace")], ["calibrate", store]] {
      for arguments in [[], ["--ids", "1,2", "-f", path], ["--ids", "1,2", "-n", "0"]] {
        let result = try flashmoe(command + arguments)
        #expect(result.code == 64, "\(command) \(arguments)")
      }
      #expect(try flashmoe(command + ["-f", path]).messages.contains("not UTF-8"))
    }
    #expect(!FileSystem.exists(directory.file("x.trace")))
  }

  @Test func tracesOfOtherWeightsDoNotMix() throws {
    let directory = try TemporaryDirectory("routing")
    let path = try trace(in: directory)
    let other = directory.file("other.trace")
    _ = try flashmoe("trace", try TinyStore.quantized(), "--ids", "1,2,3", "-o", other)
    let result = try flashmoe("simulate", path, other)
    #expect(result.code == 1)
    #expect(result.messages.contains(path) && result.messages.contains(other))
    let missing = try flashmoe(
      "trace", TinyStore.checkpoint, "--ids", "1", "-o", directory.file("y.trace"))
    #expect(missing.code == 1 && missing.messages.contains("looks like a checkpoint"))
  }

  @Test func calibrateWritesAProfileThatRunsUse() throws {
    let directory = try TemporaryDirectory("routing")
    let store = try TinyStore.copy(try TinyStore.exact(), into: directory)
    let result = try flashmoe("calibrate", store, "--ids", Self.ids, "--json")
    #expect(result.code == 0, "\(result.messages)")
    var printed = try result.json().object ?? [:]
    #expect(printed["output"]?.string == store + "/profile.json")
    printed["output"] = nil
    #expect(JSONValue.object(printed) == (try FileSystem.readJSON(store + "/profile.json")))
    let popularity = printed["popularity"]?.array ?? []
    #expect(popularity.count == 3)
    for layer in popularity {
      let counts = layer.array?.compactMap(\.integer) ?? []
      #expect(counts.count == 12)
      #expect(counts.reduce(0, +) == Self.tokenCount * 4)
    }
    // The trace of the same tokens counts the same.
    #expect(printed["tokens"]?.integer == Self.tokenCount)

    let plain = try flashmoe("run", store, "--ids", "1,2,3", "-n", "8", "--temp", "0", "--json")
    #expect(plain.code == 0, "\(plain.messages)")
    let cold = try flashmoe(
      "run", try TinyStore.exact(), "--ids", "1,2,3", "-n", "8", "--temp", "0", "--json")
    #expect(try plain.json()["ids"] == cold.json()["ids"])
    let text = try flashmoe("calibrate", store, "--ids", Self.ids, "-n", "64")
    #expect(text.output.contains("64 tokens of ids") && text.output.contains("popular experts"))
  }

  /// A profile that came from another store is refused until it is made anew or removed.
  @Test func aProfileOfAnotherStore() throws {
    let directory = try TemporaryDirectory("routing")
    let exact = try TinyStore.copy(try TinyStore.exact(), into: directory, "exact.fmoe")
    let small = try TinyStore.copy(try TinyStore.quantized(), into: directory, "small.fmoe")
    #expect(try flashmoe("calibrate", exact, "--ids", Self.ids).code == 0)
    try FileSystem.writeAtomically(
      try FileSystem.readBytes(exact + "/profile.json"), to: small + "/profile.json")
    let refused = try flashmoe("run", small, "--ids", "1,2,3", "-n", "2")
    #expect(refused.code == 1)
    #expect(refused.messages.contains("profile.json"))
    #expect(refused.messages.contains("flashmoe calibrate"), "\(refused.messages)")
    #expect(try flashmoe("calibrate", small, "--ids", Self.ids).code == 0)
    #expect(try flashmoe("run", small, "--ids", "1,2,3", "-n", "2").code == 0)
  }
}
