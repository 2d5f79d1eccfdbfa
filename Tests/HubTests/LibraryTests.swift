@testable import Hub
import HubServer
import Support
import TestSupport
import Testing

@Suite struct LibraryTests {
  @Test func listsWhatThereIs() async throws {
    let hub = try TestHub()
    let library = ModelLibrary(hub.directory.file("models"))
    #expect(try library.list().isEmpty)
    for name in ["a/one", "b/one", "b/two.fmoe.pull", "b/two.fmoe.partial", "b/three"] {
      try FileSystem.createDirectories(library.path + "/" + name)
    }
    try hub.directory.write(#"{"model_type": "qwen3_moe"}"#, to: "models/a/one/config.json")
    try hub.directory.write("x", to: "models/b/one/x-Q4_0.gguf")
    try hub.directory.write("x", to: "models/b/three/model.safetensors.part")
    let models = try library.list()
    #expect(models.map(\.name) == ["a/one", "b/one", "b/three", "b/two"])
    #expect(models.map(\.kind) == [.checkpoint, .checkpoint, .unfinished, .unfinished])
    #expect(models[0].family == "qwen3_moe")
    #expect(models[1].scheme == "GGUF Q4_0")
    #expect(models[3].paths.count == 2)

    #expect(try library.models(named: "one").count == 2)
    #expect(try library.models(named: "a/one").count == 1)
    #expect(try library.models(named: "../models/a/one").isEmpty)
    #expect(
      complaint("checkpoint", .notFound, ["is a checkpoint", "flashmoe pack"]) {
        _ = try library.store(named: "a/one")
      } == nil)

    for model in models { try library.remove(model) }
    #expect(try FileSystem.list(library.path).isEmpty)
  }
}
