import Hub
import HubServer
import Support
import TestSupport

/// A hub that serves the tiny checkpoint of the fixtures, and a place to pull it to.
struct TestHub {
  static let checkpoint = Fixtures.path("oracle/qwen3_moe")
  static let name = "tests/qwen3_moe"
  /// What a pull of the fixture brings.
  static let wanted = [
    "config.json", "generation_config.json", "model-00001-of-00004.safetensors",
    "model-00002-of-00004.safetensors", "model-00003-of-00004.safetensors",
    "model-00004-of-00004.safetensors", "model.safetensors.index.json", "tokenizer.json",
    "tokenizer_config.json",
  ]

  let server: HubServer
  let directory: TemporaryDirectory
  var options: HubOptions

  init() throws {
    server = try HubServer()
    directory = try TemporaryDirectory("hub")
    server.add(Self.name, try HubServer.Repository(directory: Self.checkpoint))
    options = HubOptions(endpoint: server.endpoint)
    options.pieceBytes = 16 << 10
    options.connectionCount = 4
    options.pauseSeconds = 0.005
    options.stallSeconds = 5
  }

  var output: String { directory.file("model") }

  @discardableResult
  func pull(_ name: String = name, revision: String? = nil) async throws(Failure) -> PullResult {
    let output = output
    let reference = try ModelReference(parsing: name)
    return try await HubClient.with(options) { client async throws(Failure) in
      let resolution = try await client.resolve(reference, revision: revision)
      return try await Pull.download(resolution, with: client, to: output)
    }
  }

  /// What differs from the source; nil when nothing does.
  func difference() throws -> String? {
    let names = try FileSystem.list(output).filter { $0 != ".flashmoe-pull.json" }
    guard names == Self.wanted else { return "files: \(names)" }
    for name in names {
      let pulled = try FileSystem.readBytes(output + "/" + name)
      if pulled != (try FileSystem.readBytes(Self.checkpoint + "/" + name)) { return name }
    }
    return nil
  }
}

/// The failure that `body` throws.
func failure(_ body: () async throws -> Void) async -> Failure? {
  do {
    try await body()
    return nil
  } catch {
    return error as? Failure
  }
}
