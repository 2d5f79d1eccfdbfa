import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Experts with fewer bits beside others: in the store, on the disk and in the engine.
@Suite struct MixedPrecisionTests {
  private let directory: TemporaryDirectory
  private let checkpoint = Fixtures.path("oracle/qwen3_moe")

  init() throws { directory = try TemporaryDirectory("mixed") }

  /// Counts by which every second expert of a layer is cold, another half in each layer.
  private func popularity() throws -> [[Int]] {
    let config = try Checkpoint.open(checkpoint).config
    let layers = try #require(config["num_hidden_layers"]?.integer)
    let experts = try #require((config["num_experts"] ?? config["num_local_experts"])?.integer)
    return (0..<layers).map { layer in (0..<experts).map { ($0 + layer) % 2 * 100 + $0 } }
  }

  private func pack(_ name: String, _ change: (inout PackingOptions) throws -> Void) throws -> Store
  {
    var options = PackingOptions()
    try change(&options)
    let plan = try ModelPacking.plan(checkpoint: try Checkpoint.open(checkpoint), options: options)
    _ = try Packer.pack(plan, to: directory.file(name))
    return try Store(opening: directory.file(name))
  }

  private func mixed(_ hot: Int, _ cold: Int, share: Double = 0.5) throws -> Store {
    try pack("\(hot)-\(cold).fmoe") {
      $0.mixedPrecision = try MixedPrecision(
        hotBits: hot, coldBits: cold, coldShare: share, popularity: try popularity())
    }
  }

  @Test(arguments: [(4, 3), (4, 2), (8, 4)])
  func everyExpertHasItsBits(hot: Int, cold: Int) throws {
    let schemes: [Int: Scheme] = [2: .q2, 3: .q3, 4: .q4, 8: .q8]
    let store = try mixed(hot, cold)
    let plain = try [hot, cold].map { bits in
      let scheme = try #require(schemes[bits])
      _ = try pack("\(bits).fmoe") { $0.experts = .scheme(scheme) }
      return try StoreContents(directory.file("\(bits).fmoe"))
    }
    let contents = try StoreContents(store.path)
    for (at, layer) in store.manifest.layers.enumerated() {
      let kind = try #require(layer.cold)
      #expect(kind.isCold.count { $0 } == layer.expertCount / 2)
      for expert in 0..<layer.expertCount {
        #expect(kind.isCold[expert] == ((expert + at) % 2 == 0))
        let reference = plain[kind.isCold[expert] ? 1 : 0]
        for name in ["gate_up", "down"] {
          #expect(
            try contents.section(name, layer: at, expert: expert)
              == reference.section(name, layer: at, expert: expert))
        }
      }
      #expect(layer.fileBytes < layer.expertCount * layer.record.stride || hot == 4)
    }
    let again = try Manifest(parsing: store.manifest.serialized(), subject: "again")
    #expect(again == store.manifest)
    let report = try Verification.verify(store.path)
    #expect(report.problems.isEmpty)
  }

  /// One byte of a cold record, and the packer's own check, are noticed.
  @Test func damageIsNamed() throws {
    let store = try mixed(8, 2)
    let layer = store.manifest.layers[1]
    let expert = try #require(layer.cold?.isCold.lastIndex(of: true))
    var bytes = try FileSystem.readBytes(store.filePath(layer.file))
    bytes[layer.offset(ofExpert: expert) + 5] ^= 1
    try FileSystem.writeAtomically(bytes, to: store.filePath(layer.file))
    let report = try Verification.verify(store.path)
    #expect(report.problems.count == 1)
    #expect(report.problems.first?.place?.contains("expert \(expert),") == true)
  }

  @Test func streamedEqualsResident() throws {
    let store = try mixed(8, 3)
    let tokens = try ExpectedTensors(checkpoint + "/expected.safetensors").integers(
      "long_input_ids")
    func logits(_ change: (inout EngineOptions) -> Void, chunk: Int? = nil) throws -> [UInt32] {
      var options = EngineOptions(budgetBytes: 200 << 20, contextLength: 256, threadCount: 2)
      change(&options)
      let engine = try Engine(store: store, options: options)
      return try engine.logits(tokens, chunkLength: chunk).logits.map(\.bitPattern)
    }
    let want = try logits { _ in }
    #expect(Set(want).count > want.count / 2)
    for slots in [4, 9] {
      #expect(try logits({ $0.slotCount = slots }, chunk: 13) == want)
      #expect(try logits({ $0.slotCount = slots }, chunk: 1) == want)
    }
    #expect(
      try logits({
        $0.streamer.backend = .pread
        $0.slotCount = 6
      }) == want)
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let counts = try popularity()
    func refused(_ pieces: [String], _ body: () throws -> Void) {
      #expect(complaint("", nil, pieces, body) == nil)
    }
    refused(["--cold-bits", "4", "4"]) {
      _ = try MixedPrecision(hotBits: 4, coldBits: 4, coldShare: 0.5, popularity: counts)
    }
    refused(["--hot-bits", "5"]) {
      _ = try MixedPrecision(hotBits: 5, coldBits: 4, coldShare: 0.5, popularity: counts)
    }
    refused(["--cold-share"]) {
      _ = try MixedPrecision(hotBits: 4, coldBits: 3, coldShare: 1, popularity: counts)
    }
    refused(["--profile", "1 layers"]) {
      _ = try pack("bad.fmoe") {
        $0.mixedPrecision = try MixedPrecision(
          hotBits: 4, coldBits: 3, coldShare: 0.5, popularity: [counts[0]])
      }
    }
    let path = directory.file("profile.json")
    try directory.write("{\"popularity\": [[1, -2]]}", to: "profile.json")
    refused(["profile.json", "popularity"]) { _ = try MixedPrecision.popularity(inProfile: path) }
    try directory.write("{\"popularity\": [[1, 2], [3, 4]]}", to: "profile.json")
    #expect(try MixedPrecision.popularity(inProfile: path) == [[1, 2], [3, 4]])
  }

  @Test func lyingManifestsAreRefused() throws {
    let store = try mixed(4, 2)
    func refused(_ pieces: [String], _ change: (inout Manifest) -> Void) throws {
      var manifest = store.manifest
      change(&manifest)
      #expect(
        complaint("", nil, pieces) {
          _ = try Manifest(parsing: manifest.serialized(), subject: "manifest.json")
        } == nil)
    }
    let first = store.manifest.layers[0]
    try refused(["layers[0].cold"]) {
      $0.layers[0].cold = Manifest.Cold(
        record: RecordLayout.swiglu(hidden: 32, inner: 32, scheme: .q2, downScheme: .q2),
        isCold: first.cold?.isCold ?? [], hot: first.record)
    }
    try refused(["layers[0].cold.experts"]) {
      $0.layers[0].cold = Manifest.Cold(
        record: first.cold?.record ?? first.record,
        isCold: [Bool](repeating: false, count: first.expertCount), hot: first.record)
    }
  }
}
