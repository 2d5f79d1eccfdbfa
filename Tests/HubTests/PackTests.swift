import FlashMoE
import Glibc
import Hub
import HubServer
import Support
import Synchronization
import TestSupport
import Testing
import WeightStore

@testable import Checkpoints

/// A model packed while it is downloaded is the store that `pack` makes of the whole directory.
@Suite struct PackTests {
  /// Every file of a directory, with its bytes.
  static func contents(_ directory: String) throws -> [String: [UInt8]] {
    var contents: [String: [UInt8]] = [:]
    for name in try FileSystem.list(directory) {
      let path = directory + "/" + name
      if FileSystem.isDirectory(path) {
        for (inner, bytes) in try self.contents(path) { contents[name + "/" + inner] = bytes }
      } else {
        contents[name] = try FileSystem.readBytes(path)
      }
    }
    return contents
  }

  private static func direct(_ hub: TestHub, _ source: String = TestHub.checkpoint) throws
    -> [String: [UInt8]]
  {
    let path = hub.directory.file("direct.fmoe")
    let plan = try ModelPacking.plan(checkpoint: try Checkpoint.open(source))
    try Packer.pack(plan, to: path)
    return try contents(path)
  }

  @discardableResult
  private static func pull(
    _ hub: TestHub, _ name: String = TestHub.name, options: PackOptions = PackOptions()
  ) async throws(Failure) -> PackResult {
    let output = hub.directory.file("pulled.fmoe")
    let reference = try ModelReference(parsing: name)
    return try await HubClient.with(hub.options) { client async throws(Failure) in
      let resolution = try await client.resolve(reference)
      return try await PullAndPack.run(
        resolution, with: client, to: output, packing: PackingOptions(), options: options)
    }
  }

  @Test func sameBytesAsADirectPack() async throws {
    let hub = try TestHub()
    let result = try await Self.pull(hub)
    #expect(try Self.contents(result.path) == Self.direct(hub))
    #expect(!FileSystem.exists(PullAndPack.workPath(result.path)))
    #expect(try FileSystem.list(hub.directory.path) == ["direct.fmoe", "pulled.fmoe"])
  }

  @Test func sameBytesThroughAHostileServer() async throws {
    let hub = try TestHub()
    hub.server.redirect()
    let corrupted = Mutex(false)
    hub.server.misbehave { request in
      let isFirst = corrupted.withLock { done in
        // Behind the header, whose bytes the plan is made from.
        guard !done, request.range?.lowerBound == 32 << 10 else { return false }
        done = true
        return true
      }
      if isFirst { return .corrupts }
      return switch request.number % 11 {
      case 1: .closes(after: 3000)
      case 3: .answers(503)
      case 5: .shiftsRange(by: 7)
      case 7: .misstatesLength(by: -1)
      case 9: .sendsWholeFile
      default: nil
      }
    }
    let result = try await Self.pull(hub)
    #expect(try Self.contents(result.path) == Self.direct(hub))
    #expect(corrupted.withLock { $0 })
  }

  /// A header that came damaged must not decide what is packed.
  @Test func damagedHeadersAreFound() async throws {
    let hub = try TestHub()
    let shard = "model-00002-of-00004.safetensors"
    let done = Mutex(false)
    hub.server.misbehave { request in
      // The header alone is asked for with a range that ends before the first piece does.
      guard request.path == shard, let range = request.range, range.lowerBound == 0,
        range.count > 8, range.count != 16 << 10
      else { return nil }
      return done.withLock { done in
        defer { done = true }
        return done ? nil : .corrupts
      }
    }
    let failure = await failure { try await Self.pull(hub) }
    #expect(failure != nil)
    try await Self.pull(hub)
    #expect(
      try Self.contents(hub.directory.file("pulled.fmoe")) == Self.direct(hub))
  }

  /// Stopped after any unit, it goes on, and files whose units are all done do not come again.
  @Test func goesOnWhereItWas() async throws {
    let hub = try TestHub()
    var attempts = 0
    while !FileSystem.exists(hub.directory.file("pulled.fmoe")), attempts < 40 {
      attempts += 1
      let polls = Mutex(0)
      let limit = 12 * attempts
      let options = PackOptions(
        threadCount: 2,
        isCancelled: {
          polls.withLock { polls in
            polls += 1
            return polls > limit
          }
        })
      do { try await Self.pull(hub, options: options) } catch {
        #expect(error.kind == .cancelled, "\(error)")
        #expect(error.description.contains("kept"), "\(error)")
      }
    }
    #expect(attempts > 2 && attempts < 40)
    #expect(
      try Self.contents(hub.directory.file("pulled.fmoe")) == Self.direct(hub))
  }

  /// Each tensor of a record in another file: all of them stay until the record is made.
  @Test(arguments: [Resharded.Deal.contiguous, .roundRobin])
  func recordsOfSeveralFiles(deal: Resharded.Deal) async throws {
    let hub = try TestHub()
    let source = try Resharded(9, deal, in: hub.directory)
    hub.server.add(TestHub.name, source.repository)
    let result = try await Self.pull(hub)
    #expect(try Self.contents(result.path) == Self.direct(hub, source.path))
  }

  /// The disk never holds all weight files at once.
  @Test func filesAreDroppedWhenTheyAreDone() async throws {
    let hub = try TestHub()
    let source = try Resharded(12, .contiguous, in: hub.directory)
    hub.server.add(TestHub.name, source.repository)
    let work = PullAndPack.workPath(hub.directory.file("pulled.fmoe"))
    let most = Mutex(0)
    hub.server.misbehave { request in
      var count = 0
      for name in (try? FileSystem.list(work)) ?? [] where name.hasSuffix(".safetensors") {
        var status = stat()
        // What is left of a dropped file is its header, a block or two.
        if stat(work + "/" + name, &status) == 0, status.st_blocks * 512 > 16 << 10 { count += 1 }
      }
      let now = count
      most.withLock { $0 = max($0, now) }
      return .dawdles(bytes: 8000, milliseconds: 1)
    }
    try await Self.pull(hub)
    // Two on their way or in work, and one that shares a record with the next.
    #expect((1...4).contains(most.withLock { $0 }), "\(most.withLock { $0 }) of 12")
  }

  @Test func anUnknownArchitectureCostsNoWeights() async throws {
    let hub = try TestHub()
    var repository = try HubServer.Repository(directory: TestHub.checkpoint)
    repository.files["config.json"] = Array(#"{"model_type": "nobody_knows"}"#.utf8)
    hub.server.add(TestHub.name, repository)
    let failure = await failure { try await Self.pull(hub) }
    #expect(failure?.description.contains("nobody_knows") == true, "\(failure?.description ?? "")")
    #expect(hub.server.sentBytes < 200_000)
  }

  @Test func existingStoresAreNotReplaced() async throws {
    let hub = try TestHub()
    try await Self.pull(hub)
    let failure = await failure { try await Self.pull(hub) }
    #expect(failure?.kind == .usage)
    #expect(failure?.description.contains("exists already") == true)
    try await Self.pull(hub, options: PackOptions(overwrites: true))
    #expect(
      try Self.contents(hub.directory.file("pulled.fmoe")) == Self.direct(hub))
  }

  /// Weights that have not come, or are gone, are an error, never zeros.
  @Test func absentWeightsAreNotRead() throws {
    let refusal = Failure(.notFound, "shard", "its weights have not come yet")
    let checkpoint = try Checkpoint.open(TestHub.checkpoint) { (_: String) throws(Failure) in
      throw refusal
    }
    let name = try #require(checkpoint.tensorNames.first)
    let tensor = try #require(checkpoint.tensors[name])
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2, alignment: 8)
    defer { buffer.deallocate() }
    #expect(throws: refusal) { try checkpoint.read(tensor, bytes: 0..<2, into: buffer) }
  }
}
