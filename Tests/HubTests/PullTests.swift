import Hub
import HubServer
import Support
import Synchronization
import TestSupport
import Testing

@Suite struct PullTests {
  @Test func pullBringsWhatACheckpointNeeds() async throws {
    let hub = try TestHub()
    let result = try await hub.pull()
    #expect(try hub.difference() == nil)
    #expect(result.downloadedBytes == result.bytes)
    hub.server.forgetRequests()
    let again = try await hub.pull()
    #expect(again.downloadedBytes == 0)
    // The index alone is read to know the shards.
    #expect(hub.server.requests.map(\.path) == ["model.safetensors.index.json"])
  }

  /// One fault in every third request, for every kind of fault.
  @Test(arguments: [
    HubFault.closes(after: 0), .closes(after: 1000), .sendsWholeFile, .shiftsRange(by: 1),
    .shiftsRange(by: 5000), .misstatesLength(by: 10), .misstatesLength(by: -10), .answers(500),
    .answers(503, headers: ["Retry-After": "0"]), .answers(429), .answers(416),
    .dawdles(bytes: 3000, milliseconds: 1),
  ])
  func hostileServer(fault: HubFault) async throws {
    let hub = try TestHub()
    hub.server.misbehave { $0.number % 3 == 1 ? fault : nil }
    try await hub.pull()
    #expect(try hub.difference() == nil)
    #expect(hub.server.requests.count > 40)
  }

  /// The same when the bytes come from another origin, which must not see the token.
  @Test func contentServerGetsNoToken() async throws {
    var hub = try TestHub()
    hub.options.token = "hf_secret"
    hub.server.require(token: "hf_secret")
    hub.server.redirect()
    hub.server.misbehave { request in
      // A signed address that expires.
      request.isContent && request.number % 7 == 3 ? .answers(403) : nil
    }
    try await hub.pull()
    #expect(try hub.difference() == nil)
    let content = hub.server.requests.filter(\.isContent)
    #expect(content.count > 40)
    #expect(content.allSatisfy { $0.authorization == nil })
    #expect(hub.server.requests.contains { $0.authorization == "Bearer hf_secret" })
  }

  @Test func corruptedBytesAreFetchedAgain() async throws {
    let hub = try TestHub()
    let shard = "model-00002-of-00004.safetensors"
    let count = Mutex(0)
    hub.server.misbehave { request in
      guard request.path == shard, request.range?.lowerBound == 16 << 10 else { return nil }
      return count.withLock { count in
        count += 1
        return count == 1 ? .corrupts : nil
      }
    }
    try await hub.pull()
    #expect(try hub.difference() == nil)
    #expect(count.withLock { $0 } == 2)
  }

  @Test func bytesThatStayWrongAreAnError() async throws {
    let hub = try TestHub()
    for file in ["model-00003-of-00004.safetensors", "tokenizer.json"] {
      try FileSystem.remove(hub.output)
      hub.server.misbehave { $0.path == file && $0.range?.lowerBound == 0 ? .corrupts : nil }
      let failure = await failure { try await hub.pull() }
      #expect(failure?.kind == .corrupt)
      #expect(failure?.description.contains(file) == true, "\(failure?.description ?? "")")
      #expect(!FileSystem.exists(hub.output + "/" + file))
    }
    hub.server.misbehave { _ in nil }
    try await hub.pull()
    #expect(try hub.difference() == nil)
  }

  @Test func serverThatStaysBrokenIsAnError() async throws {
    var hub = try TestHub()
    hub.options.attemptCount = 3
    hub.options.stallSeconds = 0.3
    for (fault, words) in [
      (HubFault.closes(after: 0), "3 attempts"), (.sendsWholeFile, "whole file"),
      (.shiftsRange(by: 100), "asked for bytes"), (.answers(502), "502"), (.hangs, "3 attempts"),
      (.answers(429, headers: ["Retry-After": "4000"]), "asks to wait 4000 s"),
    ] {
      hub.server.misbehave { request in
        request.path.hasSuffix("00003-of-00004.safetensors") && request.range?.lowerBound ?? 0 > 0
          ? fault : nil
      }
      let failure = await failure { try await hub.pull() }
      #expect(failure?.kind == .io, "\(words): \(failure?.description ?? "none")")
      #expect(failure?.description.contains(words) == true, "\(failure?.description ?? "none")")
      #expect(failure?.description.contains("are kept in") == true)
    }
    hub.server.misbehave { _ in nil }
    try await hub.pull()
    #expect(try hub.difference() == nil)
  }

  /// What an interrupted pull brought is not asked for again.
  @Test func resumesWithWhatIsThere() async throws {
    var hub = try TestHub()
    hub.options.attemptCount = 1
    hub.server.misbehave { $0.number > 25 ? .closes(after: 5000) : nil }
    let failure = await failure { try await hub.pull() }
    #expect(failure?.kind == .io)
    let first = hub.server.sentBytes
    hub.server.forgetRequests()
    hub.server.misbehave { _ in nil }
    let result = try await hub.pull()
    #expect(try hub.difference() == nil)
    #expect(result.downloadedBytes < result.bytes)
    let index = try FileSystem.readBytes(TestHub.checkpoint + "/model.safetensors.index.json").count
    #expect(hub.server.sentBytes == result.downloadedBytes + index)
    #expect(first + hub.server.sentBytes < result.bytes + 6 * (16 << 10) + 2 * index)
  }

  @Test func aTerseHubIsAskedFileByFile() async throws {
    let hub = try TestHub()
    hub.server.beTerse()
    hub.server.redirect()
    try await hub.pull()
    #expect(try hub.difference() == nil)
    // Without a list of checksums, headers say what the bytes must be.
    hub.server.misbehave { $0.path == "tokenizer.json" ? .corrupts : nil }
    try FileSystem.remove(hub.output)
    #expect(await failure { try await hub.pull() }?.kind == .corrupt)
  }

  @Test func changedFilesAreFetchedAgain() async throws {
    let hub = try TestHub()
    try await hub.pull()
    let path = hub.output + "/tokenizer.json"
    var bytes = try FileSystem.readBytes(path)
    bytes[100] ^= 1
    try FileSystem.writeAtomically(bytes, to: path)
    let result = try await hub.pull()
    #expect(result.downloadedBytes == bytes.count)
    #expect(try hub.difference() == nil)
  }

  /// A part of another file is not continued.
  @Test func aNewCommitDiscardsOldParts() async throws {
    var hub = try TestHub()
    hub.options.attemptCount = 1
    hub.server.misbehave { $0.number > 20 ? .answers(500) : nil }
    _ = await failure { try await hub.pull() }
    var repository = try HubServer.Repository(directory: TestHub.checkpoint)
    let shard = "model-00001-of-00004.safetensors"
    repository.files[shard]?[100_000] ^= 1
    repository.commit = String(repeating: "ab", count: 20)
    hub.server.add(TestHub.name, repository)
    hub.server.misbehave { _ in nil }
    try await hub.pull()
    #expect(try hub.difference() == shard)
    #expect(try FileSystem.readBytes(hub.output + "/" + shard) == repository.files[shard])
  }
}
