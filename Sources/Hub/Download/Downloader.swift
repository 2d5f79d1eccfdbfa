import NIOCore
import NIOHTTP1
import NIOPosix
import Support
import Synchronization

/// Fetches files of one snapshot: several connections a file, each bringing one piece at a time.
final class Downloader: Sendable {
  let client: HubClient
  let snapshot: Snapshot
  let meter: PullMeter
  /// Content servers that the hub sent us to, by file.
  private let servers = Mutex<[String: WebAddress]>([:])

  /// Written at once, and a journal line each.
  private static let stepBytes = 4 << 20

  init(_ client: HubClient, _ snapshot: Snapshot, meter: PullMeter) {
    self.client = client
    self.snapshot = snapshot
    self.meter = meter
  }

  /// Runs blocking work where it may block.
  static func blocking<Value: Sendable>(
    _ body: @escaping @Sendable () throws(Failure) -> Value
  ) async throws(Failure) -> Value {
    do {
      return try await NIOThreadPool.singleton.runIfActive { try body() }
    } catch let failure as Failure {
      throw failure
    } catch {
      throw Failure(.cancelled, "download", "was interrupted")
    }
  }

  /// Fetches what is missing of a file, checks it and gives it its name; bytes that are not what the
  /// hub promised are fetched once more.
  func complete(_ file: IncomingFile) async throws(Failure) {
    var found: String?
    for _ in 0..<2 {
      try await fetchPieces(of: file)
      let result = try await Self.blocking { () throws(Failure) in try file.check() }
      if result.isRight {
        try await Self.blocking { () throws(Failure) in try file.publish() }
        return
      }
      found = result.found
      try await Self.blocking { () throws(Failure) in try file.restart() }
      meter.add(-file.size)
    }
    throw Failure(
      .corrupt, snapshot.repository, at: file.name,
      "the bytes are not what the hub promises: \(found ?? "?") instead of "
        + "\(file.identity?.text ?? "?"), twice",
      remedy: "They were thrown away. Run the command again; if it stays so, the network or"
        + " HF_ENDPOINT (\(client.options.endpoint)) changes them")
  }

  private func fetchPieces(of file: IncomingFile) async throws(Failure) {
    let failure: Failure? = await withTaskGroup(of: Failure?.self) { group in
      for _ in 0..<client.options.connectionCount {
        group.addTask {
          do throws(Failure) {
            while let piece = file.takePiece() { try await self.fetch(piece, of: file) }
            return nil
          } catch {
            return error
          }
        }
      }
      var first: Failure?
      for await result in group {
        guard let result else { continue }
        // Those that are cancelled because of the first have nothing to add.
        if first == nil { first = result }
        group.cancelAll()
      }
      return first
    }
    if let failure { throw failure }
  }

  private func fetch(_ piece: Int, of file: IncomingFile) async throws(Failure) {
    let before = Mutex(file.missing(piece).count)
    try await client.retrying(subject: "\(snapshot.repository), \(file.name)") {
      before.withLock { last in
        let now = file.missing(piece).count
        defer { last = now }
        return now < last
      }
    } _: {
      let missing = file.missing(piece)
      if !missing.isEmpty { try await self.fetch(missing, piece: piece, of: file) }
    }
    try await Self.blocking { () throws(Failure) in try file.hashReadyBytes() }
  }

  /// One request and its bytes; what came before an error stays.
  private func fetch(_ range: Range<Int>, piece: Int, of file: IncomingFile) async throws {
    let home = client.address(of: file.name, in: snapshot)
    let known = servers.withLock { $0[file.name] }
    let address = known ?? home
    let answer = try await client.get(address, range: range)
    if answer.address.origin != client.endpoint.origin, answer.status.code != 429,
      (400..<500).contains(answer.status.code)
    {
      // A signed address that has expired: the hub gives another.
      servers.withLock { $0[file.name] = nil }
      throw HubError.transient(
        Failure(
          .io, answer.address.shown, "the content server answered \(answer.status.code)",
          remedy: "Run the command again later: it goes on where it was"),
        pauseSeconds: known == nil ? nil : 0)
    }
    try check(answer, range, name: file.name, size: file.size)
    if answer.address.origin != client.endpoint.origin {
      servers.withLock { $0[file.name] = answer.address }
    }

    var position = range.lowerBound
    var pending = ByteBuffer()
    do {
      for try await part in answer.body {
        guard position + pending.readableBytes + part.readableBytes <= range.upperBound else {
          throw HubError.transient(
            Failure(.io, address.shown, "sent more bytes than asked for"), pauseSeconds: nil)
        }
        pending.writeImmutableBuffer(part)
        meter.add(part.readableBytes)
        if pending.readableBytes >= Self.stepBytes {
          try await write(pending, piece, at: position, of: file)
          position += pending.readableBytes
          pending.clear()
        }
      }
    } catch {
      // What a broken connection brought is kept, a body that is too long is not to be trusted.
      if error is HubError {
        meter.add(-pending.readableBytes)
      } else if pending.readableBytes > 0, !(error is Failure) {
        try await write(pending, piece, at: position, of: file)
      }
      throw error
    }
    if pending.readableBytes > 0 { try await write(pending, piece, at: position, of: file) }
    guard position + pending.readableBytes == range.upperBound else {
      throw HubError.transient(
        Failure(
          .io, address.shown,
          "ended \(range.upperBound - position - pending.readableBytes) bytes early"),
        pauseSeconds: nil)
    }
  }

  /// A few bytes of a file, for headers; their checksum comes with the whole file.
  func bytes(_ range: Range<Int>, of file: RepositoryFile) async throws(Failure) -> [UInt8] {
    guard !range.isEmpty else { return [] }
    return try await client.retrying(subject: "\(snapshot.repository), \(file.path)") {
      let answer = try await self.client.get(
        self.client.address(of: file.path, in: self.snapshot), range: range)
      try self.check(answer, range, name: file.path, size: file.size ?? 0)
      let buffer = try await answer.body.collect(upTo: range.count)
      guard buffer.readableBytes == range.count else {
        throw HubError.transient(
          Failure(.io, answer.address.shown, "ended early"), pauseSeconds: nil)
      }
      return Array(buffer.readableBytesView)
    }
  }

  private func write(_ buffer: ByteBuffer, _ piece: Int, at offset: Int, of file: IncomingFile)
    async throws(Failure)
  {
    try await Self.blocking { () throws(Failure) in
      var failure: Failure?
      buffer.withUnsafeReadableBytes { bytes in
        do throws(Failure) { try file.write(bytes, piece: piece, at: offset) } catch {
          failure = error
        }
      }
      if let failure { throw failure }
    }
  }

  /// Whether an answer's head promises exactly the range that was asked for, of the right file.
  private func check(
    _ answer: HubClient.Answer, _ range: Range<Int>, name: String, size: Int
  ) throws(HubError) {
    func wrong(_ problem: String) -> HubError {
      .transient(
        Failure(
          .io, answer.address.shown, problem,
          remedy: "The server does not do what HTTP says; try again, or another HF_ENDPOINT"),
        pauseSeconds: nil)
    }
    switch answer.status.code {
    case 206:
      let told = answer.headers.first(name: "Content-Range") ?? "nothing"
      guard let content = ContentRange(told), content.range == range,
        content.total.map({ $0 == size }) ?? true
      else {
        throw wrong(
          "was asked for bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size) and sends "
            + told)
      }
    case 200:
      // The whole file answers a request for the whole file.
      guard range == 0..<size else {
        throw wrong("sends the whole file instead of \(range.count) bytes of it")
      }
    case 416:
      throw wrong("says that byte \(range.lowerBound) of \(size) does not exist")
    default:
      throw HubError.status(
        answer.status, answer.headers, at: answer.address,
        about: client.subject(name, in: snapshot), hasToken: client.options.token != nil)
    }
    if let told = answer.headers.first(name: "Content-Length"), Int(told) != range.count {
      throw wrong("announces \(told) bytes instead of \(range.count)")
    }
    if let commit = answer.hubHeaders.first(name: "X-Repo-Commit"), commit != snapshot.commit {
      throw wrong("answers for commit \(commit) instead of \(snapshot.commit)")
    }
  }
}

/// `bytes 0-99/1000`; the total may be `*`.
struct ContentRange: Equatable {
  let range: Range<Int>
  let total: Int?

  init?(_ text: String) {
    guard text.hasPrefix("bytes ") else { return nil }
    let parts = text.dropFirst(6).split(separator: "/")
    guard parts.count == 2 else { return nil }
    let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, let first = Int(ends[0]), let last = Int(ends[1]), first >= 0,
      last >= first, last < Int.max
    else { return nil }
    range = first..<last + 1
    if parts[1] == "*" {
      total = nil
    } else {
      guard let number = Int(parts[1]), number > last else { return nil }
      total = number
    }
  }
}
