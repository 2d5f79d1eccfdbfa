import Glibc
import HubServer
import Support
import Synchronization
import TestSupport
import Testing

/// `pull` as users run it, killed, interrupted and out of space, against a hub on this machine.
@Suite struct PullTests {
  private static let name = "tests/qwen3_moe"
  /// MNT_DETACH.
  private static let lazyUnmount: Int32 = 2

  private struct Setting {
    let server: HubServer
    let directory: TemporaryDirectory
    var environment: [String]

    init() throws {
      server = try HubServer()
      directory = try TemporaryDirectory("pull")
      server.add(
        PullTests.name, try HubServer.Repository(directory: TinyStore.checkpoint))
      environment = [
        "HF_ENDPOINT=\(server.endpoint)", "FLASHMOE_MODELS=\(directory.file("models"))",
        "HOME=\(directory.path)",
      ]
    }

    var models: String { directory.file("models") }

    func run(_ arguments: String...) throws -> ChildProcess.Result {
      try flashmoe(arguments, environment: environment)
    }

    func start(_ arguments: [String]) throws -> ChildProcess {
      try ChildProcess(
        ["pull", PullTests.name, "--piece", "16KiB", "--connections", "3", "--retry-pause", "0.01"]
          + arguments, environment: environment)
    }
  }

  private static func difference(_ first: String, _ second: String) throws -> String? {
    for name in ["manifest.json", "resident.bin", "tokenizer.json"]
      + (try FileSystem.list(first + "/experts").map { "experts/" + $0 })
    where try FileSystem.readBytes(first + "/" + name) != FileSystem.readBytes(second + "/" + name)
    {
      return name
    }
    return nil
  }

  @Test func pullListRunAndRemove() throws {
    let setting = try Setting()
    let pull = try setting.run("pull", Self.name)
    #expect(pull.code == 0, "\(pull.messages)")
    #expect(pull.messages.contains("left out") && pull.messages.contains("expected.safetensors"))
    #expect(pull.output.contains("flashmoe pack \(setting.models)/\(Self.name)"))
    let packed = try setting.run("pull", Self.name, "--pack", "--json")
    #expect(packed.code == 0, "\(packed.messages)")
    #expect(try packed.json()["store"]?.string == "\(setting.models)/\(Self.name).fmoe")

    let list = try setting.run("list", "--json").json()
    let models = list["models"]?.array ?? []
    #expect(models.map { $0["kind"]?.string } == ["checkpoint", "store"])
    #expect(models.allSatisfy { $0["name"]?.string == Self.name })
    #expect(models.last?["scheme"]?.string == "q4")
    let text = try setting.run("list")
    #expect(text.output.contains("STORED AS") && text.output.contains("qwen3_moe"))

    for name in [Self.name, "qwen3_moe"] {
      let run = try setting.run("run", name, "--ids", "1,2,3", "-n", "2", "--json")
      #expect(run.code == 0, "\(run.messages)")
    }
    let unsure = try setting.run("remove", Self.name, "--kind", "store")
    #expect(unsure.code == 64 && unsure.messages.contains("--yes"))
    #expect(try setting.run("remove", Self.name, "--yes").code == 64)
    #expect(try setting.run("remove", Self.name, "--kind", "checkpoint", "--yes").code == 0)
    #expect(try setting.run("remove", "qwen3_moe", "--yes").code == 0)
    #expect(try FileSystem.list(setting.models).isEmpty)
    #expect(try setting.run("remove", "qwen3_moe", "--yes").code == 1)
  }

  /// Killed at random moments again and again, it ends with the same bytes.
  @Test(arguments: [false, true]) func killedPullsGoOn(packs: Bool) throws {
    let setting = try Setting()
    // So slow at first that nothing can be complete before it is killed, however fast the machine.
    let isSlow = Mutex(true)
    setting.server.misbehave { request in
      if request.number % 13 == 5 { return .closes(after: 2000) }
      return isSlow.withLock { $0 }
        ? .dawdles(bytes: 100, milliseconds: 20) : .dawdles(bytes: 6000, milliseconds: 1)
    }
    let output = setting.directory.file(packs ? "pulled.fmoe" : "qwen3_moe")
    var random = SeededRandom(seed: packs ? 11 : 12)
    var kills = 0
    var isDone = false
    for attempt in 0..<60 where !isDone {
      if attempt == 4 { isSlow.withLock { $0 = false } }
      var child = try setting.start(["-o", output] + (packs ? ["--pack"] : []))
      // Later kills come later, so that the work ends.
      usleep(UInt32(20_000 + random.below(60_000) + attempt * 12_000))
      child.send(SIGKILL)
      let result = child.finish()
      if result.code == 128 + SIGKILL {
        kills += 1
        // A store may have been complete before the kill.
        isDone = packs && FileSystem.exists(output)
      } else {
        #expect(result.code == 0, "\(result.messages)")
        isDone = true
      }
    }
    #expect(kills >= 4)
    if !isDone {
      var child = try setting.start(["-o", output] + (packs ? ["--pack"] : []))
      let result = child.finish()
      #expect(result.code == 0, "\(result.messages)")
    }
    let direct = setting.directory.file("direct.fmoe")
    if packs {
      #expect(try setting.run("pack", TinyStore.checkpoint, "-o", direct).code == 0)
      #expect(try Self.difference(direct, output) == nil)
      #expect(try setting.run("verify", output).code == 0)
    } else {
      for name in try FileSystem.list(output) where !name.hasPrefix(".") {
        #expect(
          try FileSystem.readBytes(output + "/" + name)
            == FileSystem.readBytes(TinyStore.checkpoint + "/" + name), "\(name)")
      }
      #expect(!(try FileSystem.list(output).contains { $0.contains(".part") }))
    }
  }

  @Test(arguments: [false, true]) func interruptionKeepsWhatIsThere(packs: Bool) throws {
    let setting = try Setting()
    let isSlow = Mutex(true)
    setting.server.misbehave { request in
      isSlow.withLock { $0 } && request.path.hasSuffix("00003-of-00004.safetensors")
        && request.range?.lowerBound ?? 0 >= 16 << 10 ? .dawdles(bytes: 50, milliseconds: 20) : nil
    }
    let output = setting.directory.file("out")
    let arguments = ["-o", output] + (packs ? ["--pack"] : [])
    var child = try setting.start(arguments)
    usleep(1_500_000)
    child.send(SIGINT)
    let result = child.finish()
    #expect(result.code == 130, "\(result.messages)")
    #expect(result.messages.contains("kept in") && result.messages.contains("goes on"))
    #expect(!result.messages.contains("Fatal error"))
    isSlow.withLock { $0 = false }
    var again = try setting.start(arguments)
    let finished = again.finish()
    #expect(finished.code == 0, "\(finished.messages)")
  }

  @Test func errorsAreOneSentence() throws {
    let setting = try Setting()
    for (arguments, code, words) in [
      (["pull", "nonsense"], Int32(64), "ORG/NAME"),
      (["pull", "a/b"], 1, "no such model"),
      (["pull", Self.name + ":v7"], 1, "v7"),
      (["pull", Self.name, "--scheme", "q8"], 64, "--pack"),
      (["pull", Self.name, "--connections", "0"], 64, "--connections"),
      (["pull", Self.name, "--pack", "--scheme", "q17"], 64, "q17"),
    ] {
      let result = try flashmoe(arguments, environment: setting.environment)
      #expect(result.code == code, "\(arguments): \(result.messages)")
      #expect(result.messages.contains(words), "\(result.messages)")
      #expect(result.messages.contains("error: "))
    }
    #expect(try setting.run("pack", TinyStore.checkpoint).code == 64)
    #expect(try setting.run("list").messages.contains("no models in"))
  }

  /// A disk that is too small, and one that fills up on the way, lose nothing.
  @Test(arguments: [false, true]) func fullDisk(packs: Bool) throws {
    let setting = try Setting()
    let disk = setting.directory.file("disk")
    try FileSystem.createDirectory(disk)
    guard mount("tmpfs", disk, "tmpfs", 0, "size=8m") == 0 else {
      print("not tested: cannot mount a small tmpfs: \(String(cString: strerror(errno)))")
      return
    }
    defer { umount2(disk, Self.lazyUnmount) }
    // More than is free.
    let filler = disk + "/filler"
    @Sendable func fill(leaving bytes: Int) throws {
      let full = try File(filler, .truncate)
      let zeros = [UInt8](repeating: 0, count: try FileSystem.freeBytes(at: disk) - bytes)
      try zeros.withUnsafeBytes { try full.write($0, at: 0) }
    }
    func empty() throws { _ = try File(filler, .truncate) }
    try fill(leaving: 400_000)
    let arguments = ["-o", disk + "/out"] + (packs ? ["--pack"] : [])
    var child = try setting.start(arguments)
    let refused = child.finish()
    #expect(refused.code == 1)
    #expect(
      refused.messages.contains("are needed on this file system"), "\(refused.messages)")

    // Enough at first; others fill the disk while shards come.
    try empty()
    setting.server.misbehave { request in
      if request.path.hasSuffix("00002-of-00004.safetensors"),
        request.range?.lowerBound ?? 0 >= 64 << 10
      {
        try? fill(leaving: 8192)
      }
      return nil
    }
    child = try setting.start(arguments)
    let cut = child.finish()
    #expect(cut.code == 1)
    #expect(cut.messages.contains("No space left on device"), "\(cut.messages)")
    #expect(cut.messages.contains("kept in"), "\(cut.messages)")
    setting.server.misbehave { _ in nil }
    try empty()
    child = try setting.start(arguments)
    let done = child.finish()
    #expect(done.code == 0, "\(done.messages)")
  }
}
