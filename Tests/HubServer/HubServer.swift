import Crypto
import NIOCore
import NIOHTTP1
import NIOPosix
import Support
import Synchronization

/// A Hugging Face-compatible hub on 127.0.0.1 that serves repositories from memory.
public final class HubServer: Sendable {
  public struct Repository: Sendable {
    public var files: [String: [UInt8]]
    public var commit: String
    public var revisions: [String]

    public init(
      _ files: [String: [UInt8]], commit: String = String(repeating: "c0ffee12", count: 5),
      revisions: [String] = ["main"]
    ) {
      self.files = files
      self.commit = commit
      self.revisions = revisions
    }

    /// All files of a directory but those a hub would not have.
    public init(directory: String, without: Set<String> = []) throws(Failure) {
      var files: [String: [UInt8]] = [:]
      for name in try FileSystem.list(directory)
      where !without.contains(name) && !FileSystem.isDirectory(directory + "/" + name) {
        files[name] = try FileSystem.readBytes(directory + "/" + name)
      }
      self.init(files)
    }
  }

  struct State {
    var repositories: [String: Repository] = [:]
    var fault: @Sendable (HubRequest) -> HubFault? = { _ in nil }
    var listFault: @Sendable (Int) -> HubFault? = { _ in nil }
    var redirects = false
    var requiredToken: String?
    /// Leaves sizes and checksums out of its lists.
    var isTerse = false
    var requests: [HubRequest] = []
    var listCount = 0
    var sentBytes = 0
  }

  private let hub: any Channel
  private let content: any Channel
  let state: SharedState

  /// Shared with the channels' handlers.
  final class SharedState: Sendable {
    let value = Mutex(State())
    let contentPort = Atomic<Int>(0)
  }

  public var endpoint: String { "http://127.0.0.1:\(hub.localAddress?.port ?? 0)" }

  public init() throws {
    let state = SharedState()
    func listen(isContent: Bool) throws -> any Channel {
      try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelInitializer { channel in
          channel.pipeline.configureHTTPServerPipeline().flatMapThrowing {
            try channel.pipeline.syncOperations.addHandler(
              HubHandler(state, isContent: isContent))
          }
        }
        .bind(host: "127.0.0.1", port: 0).wait()
    }
    self.state = state
    content = try listen(isContent: true)
    hub = try listen(isContent: false)
    state.contentPort.store(content.localAddress?.port ?? 0, ordering: .relaxed)
  }

  deinit {
    hub.close(promise: nil)
    content.close(promise: nil)
  }

  public func add(_ name: String, _ repository: Repository) {
    state.value.withLock { $0.repositories[name] = repository }
  }

  /// Asked for every request for bytes.
  public func misbehave(_ fault: @escaping @Sendable (HubRequest) -> HubFault?) {
    state.value.withLock { $0.fault = fault }
  }

  /// Asked for every request for a list, with its number.
  public func misbehaveInLists(_ fault: @escaping @Sendable (Int) -> HubFault?) {
    state.value.withLock { $0.listFault = fault }
  }

  /// Sends requests for bytes on to the content server.
  public func redirect() { state.value.withLock { $0.redirects = true } }
  public func require(token: String) { state.value.withLock { $0.requiredToken = token } }
  public func beTerse() { state.value.withLock { $0.isTerse = true } }

  public var requests: [HubRequest] { state.value.withLock { $0.requests } }
  public var sentBytes: Int { state.value.withLock { $0.sentBytes } }

  public func forgetRequests() {
    state.value.withLock { state in
      state.requests = []
      state.sentBytes = 0
    }
  }

  static func isLarge(_ path: String) -> Bool {
    path.hasSuffix(".safetensors") || path.hasSuffix(".gguf") || path.hasSuffix(".bin")
  }

  static func list(_ repository: Repository, terse: Bool) -> JSONValue {
    var siblings: [JSONValue] = []
    for path in repository.files.keys.sorted() {
      let bytes = repository.files[path] ?? []
      var entry: JSONObject = ["rfilename": .string(path)]
      if !terse {
        entry["size"] = .integer(bytes.count)
        entry["blobId"] = .string(blobID(bytes))
        if isLarge(path) {
          entry["lfs"] = .object([
            "sha256": .string(sha256(bytes)), "size": .integer(bytes.count),
            "pointerSize": .integer(134),
          ])
        }
      }
      siblings.append(.object(entry))
    }
    return .object(["sha": .string(repository.commit), "siblings": .array(siblings)])
  }

  static func sha256(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }

  static func blobID(_ bytes: [UInt8]) -> String {
    hexadecimal(Insecure.SHA1.hash(data: Array("blob \(bytes.count)\0".utf8) + bytes))
  }

  private static func hexadecimal(_ digest: some Digest) -> String {
    digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
