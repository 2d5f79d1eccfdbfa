import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Stores whose experts share a pool of records.
@Suite struct AliasTests {
  private let directory: TemporaryDirectory
  private let shape: ModelShape

  init() throws {
    directory = try TemporaryDirectory("alias")
    shape = try ModelShape.named("qwen3-tiny")
  }

  private func plan(records: Int, seed: UInt64 = 1) throws -> PackPlan {
    let whole = try Synthesis.plan(shape, seed: seed)
    return try Synthesis.plan(
      shape, seed: seed, aliasBytes: records * whole.layers[0].record.stride)
  }

  /// The same store without aliasing: every expert gets a copy of its record.
  private func materialize(_ store: Store, as name: String) throws -> Store {
    let path = directory.file(name)
    try FileSystem.createDirectory(path)
    try FileSystem.createDirectory(path + "/experts")
    let pool = try FileSystem.readBytes(store.filePath(Manifest.poolFileName))
    var manifest = store.manifest
    manifest.pool = nil
    for (at, layer) in store.manifest.layers.enumerated() {
      let records = try #require(layer.aliasing?.records)
      let stride = layer.record.stride
      manifest.layers[at].aliasing = nil
      try directory.write(
        records.flatMap { pool[$0 * stride..<($0 + 1) * stride] },
        to: "\(name)/experts/layer-0\(at).bin")
    }
    try directory.write(
      try FileSystem.readBytes(store.filePath(Manifest.residentFileName)),
      to: name + "/resident.bin")
    try directory.write(manifest.serialized(), to: name + "/manifest.json")
    return try Store(opening: path)
  }

  /// Aliasing is a matter of where bytes lie: the model is the one with copied records.
  @Test(arguments: [5, 8, 23]) func copiedRecordsGiveTheSameBits(records: Int) throws {
    let path = directory.file("aliased.fmoe")
    try Packer.pack(try plan(records: records), to: path)
    let store = try Store(opening: path)
    let copy = try materialize(store, as: "copied.fmoe")
    #expect(try Verification.verify(copy.path).isSound)
    #expect(copy.manifest.aliasNote == nil && store.manifest.aliasNote != nil)
    let tokens = (0..<40).map { Int32($0 * 37 % 256) }
    var options = EngineOptions(budgetBytes: 100 << 20, contextLength: 64, threadCount: 2)
    let want = try Engine(store: copy, options: options).logits(tokens).logits.map(\.bitPattern)
    #expect(Set(want).count > want.count / 2)
    for (slots, backend) in [(24, .auto), (5, .auto), (3, .pread)] as [(Int, ReadBackendKind)] {
      options.slotCount = slots
      options.streamer.backend = backend
      let engine = try Engine(store: store, options: options)
      #expect(try engine.logits(tokens).logits.map(\.bitPattern) == want)
      let apart = try engine.logits(tokens, chunkLength: 1).logits
      #expect(apart.map(\.bitPattern) == want)
    }
  }

  /// The pool holds the model's first records, and experts take them in turn.
  @Test func expertsTakeRecordsInTurn() throws {
    let aliased = directory.file("aliased.fmoe")
    let whole = directory.file("whole.fmoe")
    let result = try Packer.pack(
      try plan(records: 11), to: aliased, options: PackOptions(threadCount: 3))
    try Packer.pack(try Synthesis.plan(shape), to: whole)
    let manifest = try Store(opening: aliased).manifest
    let original = try Store(opening: whole).manifest
    let all = original.layers.flatMap(\.checksums)
    #expect(manifest.pool?.checksums == Array(all.prefix(11)))
    #expect(
      manifest.layers.flatMap { $0.aliasing?.records ?? [] } == (0..<24).map { $0 % 11 })
    for layer in manifest.layers { #expect(Set(layer.aliasing?.records ?? []).count == 8) }
    #expect(manifest.residents.map(\.checksum) == original.residents.map(\.checksum))
    #expect(manifest.name == "synthetic-qwen3-tiny-aliased")
    #expect(manifest.expertBytes == original.expertBytes)
    #expect(result.storeBytes == manifest.residentBytes + manifest.recordFileBytes)
    #expect(try FileSystem.list(aliased + "/experts") == ["pool.bin"])
  }

  @Test func damageInThePoolIsFound() throws {
    let path = directory.file("aliased.fmoe")
    try Packer.pack(try plan(records: 4), to: path)
    var report = try Verification.verify(path)
    #expect(report.isSound && report.records == 4 && report.unknownFiles.isEmpty)
    #expect(report.aliasNote?.contains("aliased") == true)
    let stride = try Store(opening: path).manifest.layers[0].record.stride
    var bytes = try FileSystem.readBytes(path + "/experts/pool.bin")
    bytes[2 * stride + 5] ^= 1
    try directory.write(bytes, to: "aliased.fmoe/experts/pool.bin")
    report = try Verification.verify(path)
    #expect(report.problems.map(\.place) == ["record 2 of the pool, offset \(2 * stride)"])
    // A run names the expert that was asked for and the place that is bad.
    let engine = try Engine(
      store: try Store(opening: path),
      options: EngineOptions(budgetBytes: 100 << 20, contextLength: 64, threadCount: 1))
    let failure = #expect(throws: Failure.self) {
      try engine.logits((0..<40).map { Int32($0 * 37 % 256) })
    }
    #expect(failure?.kind == .corrupt && failure?.subject.hasSuffix("experts/pool.bin") == true)
    #expect(failure?.place?.contains("offset \(2 * stride)") == true, "\(failure as Any)")
    try directory.write(Array(bytes.dropLast(4096)), to: "aliased.fmoe/experts/pool.bin")
    #expect(throws: Failure.self) { try Store(opening: path) }
  }

  /// An unfinished pack with another pool is another plan's.
  @Test func poolsArePartOfThePlan() throws {
    let path = directory.file("aliased.fmoe")
    var options = PackOptions(threadCount: 1, isCancelled: { true })
    #expect(throws: Failure.self) {
      try Packer.pack(try plan(records: 6), to: path, options: options)
    }
    options.isCancelled = { false }
    for other in [try plan(records: 7), try Synthesis.plan(shape)] {
      let failure = #expect(throws: Failure.self) {
        try Packer.pack(other, to: path, options: options)
      }
      #expect(failure?.kind == .mismatch)
    }
    try Packer.pack(try plan(records: 6), to: path, options: options)
    #expect(try Verification.verify(path).isSound)
  }

  @Test func poolsThatCannotBeAreRefused() throws {
    let stride = try Synthesis.plan(shape).layers[0].record.stride
    for (bytes, words) in [
      (1, ["--alias", "no record"]), (stride - 1, ["no record"]), (24 * stride, ["Leave --alias"]),
      (Int.max, ["Leave --alias"]),
    ] {
      #expect(
        complaint("\(bytes)", .usage, words) {
          _ = try Synthesis.plan(shape, aliasBytes: bytes)
        } == nil)
    }
    let override = try SchemeOverride(parsing: "layers.1.experts.down=q8")
    #expect(
      complaint("", .usage, ["different layouts"]) {
        _ = try Synthesis.plan(
          shape, aliasBytes: 8 * stride, options: PackingOptions(overrides: [override]))
      } == nil)
    #expect(try plan(records: 7).warnings.contains { $0.contains("less than a layer's 8") })
    #expect(try plan(records: 8).warnings.isEmpty)
  }

  @Test func aPlanWithABadAliasIsRefused() throws {
    let good = try plan(records: 6)
    let changes: [(inout PackPlan) -> Void] = [
      { $0.layers[1].aliases?[3] = 6 }, { $0.layers[1].aliases?[3] = -1 },
      { $0.layers[1].aliases = nil }, { $0.pool = nil }, { $0.pool?.records = [] },
      { $0.layers[0].aliases = [] },
    ]
    for (at, change) in changes.enumerated() {
      var plan = good
      change(&plan)
      let path = directory.file("bad-\(at).fmoe")
      let failure = #expect(throws: Failure.self) { try Packer.pack(plan, to: path) }
      #expect(failure?.kind == .mismatch)
      #expect(!FileSystem.exists(path))
    }
  }
}

/// Giants' shapes against the sums of the real models' parts.
@Suite struct GiantShapeTests {
  struct Real: Sendable {
    var name: String
    var hidden: Int
    var layers: Int
    var experts: Int
    var perToken: Int
    var inner: Int
    var vocabulary: Int
    var heads: Int
    var linearValueHeads: Int
    var recordBytes: Int

    /// Weights outside routed experts, after the published configurations: a quarter of the layers
    /// has gated attention (two rows of q for each, 2 heads of keys and values, heads of 256), the
    /// others gated DeltaNet (16 heads of keys, heads of 128); a shared expert; embedding and head.
    var residentWeights: Int {
      let attention = hidden * 256 * (3 * heads + 2 * 2)
      let key = 16 * 128
      let value = linearValueHeads * 128
      let linear = hidden * (2 * key + 2 * value + 2 * linearValueHeads + value)
      let shared = 3 * hidden * inner
      return layers / 4 * (attention + 3 * linear) + layers * (shared + experts * hidden)
        + 2 * vocabulary * hidden
    }
  }

  static let giants = [
    Real(
      name: "qwen3.5-397b-a17b", hidden: 4096, layers: 60, experts: 512, perToken: 10,
      inner: 1024, vocabulary: 248320, heads: 32, linearValueHeads: 64, recordBytes: 7_077_888),
    Real(
      name: "qwen3-coder-next", hidden: 2048, layers: 48, experts: 512, perToken: 10, inner: 512,
      vocabulary: 151936, heads: 16, linearValueHeads: 32, recordBytes: 1_769_472),
  ]

  @Test(arguments: giants) func weightsAreAsManyAsTheRealOnes(real: Real) throws {
    let shape = try ModelShape.named(real.name)
    let plan = try Synthesis.plan(shape)
    #expect(plan.layers.count == real.layers)
    #expect(plan.layers.allSatisfy { $0.experts.count == real.experts })
    #expect(plan.layers.allSatisfy { $0.record.stride == real.recordBytes })
    #expect(shape.expertsPerToken == real.perToken && shape.vocabulary == real.vocabulary)
    let residents = plan.residents.reduce(0) { sum, tensor in
      if case .matrix(let matrix) = tensor.layout { return sum + matrix.rows * matrix.columns }
      return sum
    }
    #expect(abs(Double(residents) / Double(real.residentWeights) - 1) < 0.001)
    let model = try ModelRegistry.read(plan.config, subject: "plan").configuration
    #expect(
      model.deltaNets.count == real.layers / 4 * 3 && model.attentions.count == real.layers / 4)
    #expect(model.deltaNets.allSatisfy { $0.valueHeadCount == real.linearValueHeads })
  }

  /// 40 GB stand for 217: no layer has a record twice, nor the next ten layers one of its.
  @Test func aGiantFitsASmallDisk() throws {
    let plan = try Synthesis.plan(
      try ModelShape.named("qwen3.5-397b-a17b"), aliasBytes: 40_000_000_000)
    #expect(plan.expertBytes <= 40_000_000_000 && plan.expertBytes > 39_990_000_000)
    #expect(plan.warnings.isEmpty)
    let aliases = plan.layers.compactMap(\.aliases)
    #expect(aliases.flatMap { $0 }.count == 60 * 512)
    for first in 0..<50 {
      let near = aliases[first..<first + 11].flatMap { $0 }
      #expect(Set(near).count == near.count)
    }
  }
}
