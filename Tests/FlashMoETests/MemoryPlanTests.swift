import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// Promise two, as arithmetic: a plan never exceeds its budget and always says what is missing.
@Suite struct MemoryPlanTests {
  private func manifest() throws -> (Manifest, ModelConfiguration) {
    let config = try FileSystem.readJSON(Fixtures.path("oracle/qwen3_moe/config.json"))
    let configuration = try ModelRegistry.read(config, subject: "config.json").configuration
    let record = RecordLayout.swiglu(hidden: 64, inner: 32, scheme: .q4, downScheme: .q4)
    let checksums = [Checksum](repeating: Checksum(value: 0), count: configuration.experts.count)
    return (
      Manifest(
        name: "test", config: config, residentBytes: 123_457, residents: [],
        layers: configuration.sparseLayers.map {
          Manifest.Layer(layer: $0, record: record, checksums: checksums)
        }, companions: [], source: .null), configuration
    )
  }

  private func plan(_ change: (inout EngineOptions) -> Void) throws -> MemoryPlan {
    let (manifest, configuration) = try manifest()
    var options = EngineOptions(threadCount: 2)
    change(&options)
    return try MemoryPlanner(
      manifest: manifest, configuration: configuration, options: options, subject: "test.fmoe"
    ).plan()
  }

  @Test func everyBudgetFromTheLeastUpIsMet() throws {
    for context in [1, 64, 333, 4096] {
      let minimum = try plan {
        $0.budgetBytes = 1 << 30
        $0.contextLength = context
      }.minimumBytes
      for extra in [0, 1, 100, 4095, 4096, 12345, 60000, 333_333, 5_000_000] {
        let plan = try plan {
          $0.budgetBytes = minimum + extra
          $0.contextLength = context
        }
        #expect(plan.plannedBytes <= minimum + extra)
        #expect(plan.slotCount >= 4)
        #expect(plan.contextLength == context)
      }
      #expect {
        try self.plan {
          $0.budgetBytes = minimum - 1
          $0.contextLength = context
        }
      } throws: { error in
        let text = "\(error)"
        return (error as? Failure)?.kind == .budget && text.contains("1 bytes too small")
          && text.contains("\(minimum)")
      }
    }
  }

  @Test func largeBudgetsHoldEverythingAndNoMore() throws {
    let plan = try plan { $0.budgetBytes = 8 << 30 }
    #expect(plan.slotCount == plan.recordCount)
    #expect(plan.cachedShare == 1)
    #expect(plan.plannedBytes < 1 << 30)
    #expect(plan.contextLength == 4096)
  }

  @Test func smallBudgetsShortenTheDefaultContext() throws {
    let least = try plan {
      $0.budgetBytes = 1 << 30
      $0.contextLength = 256
    }.minimumBytes
    #expect(try plan { $0.budgetBytes = least + 100_000 }.contextLength < 4096)
  }

  /// Positions are stored in blocks of 16; the plan counts whole blocks, in every format.
  @Test func keyValueBlocksAreCountedExactly() throws {
    // 3 layers, 2 heads of 32 dimensions; a block of 16 positions of one head's keys in q8 has 16
    // scales of two bytes.
    let configuration = try manifest().1
    for context in [1, 15, 16, 17, 250, 4095] {
      let blocks = (context + 15) / 16
      for (type, blockBytes) in [
        (KeyValueType.f16, 16 * 32 * 2), (.f32, 16 * 32 * 4), (.q8, 16 * 32 + 16 * 2),
      ] {
        let planned = ModelState.bytes(configuration, type: type, contextLength: context)
        let bytes = 2 * configuration.layerCount * 2 * blocks * blockBytes
        #expect((bytes..<bytes + 6 * 64 + 4096).contains(planned) && planned % 4096 == 0)
        let plan = try plan {
          $0.budgetBytes = 1 << 30
          $0.contextLength = context
          $0.keyValueType = type
        }
        let item = try #require(plan.items.first { $0.name == "key/value cache" })
        #expect(item.bytes == planned)
        #expect(item.note.hasSuffix(type.rawValue))
      }
    }
  }

  @Test func longChunksAreTakenWhereTheyFit() throws {
    let plan = try plan {
      $0.budgetBytes = 1 << 30
      $0.contextLength = 8192
    }
    #expect(plan.chunkLength == 8192)
  }

  @Test func refusalsNameEightBitKeysAndValues() throws {
    func refusal(_ type: KeyValueType?) -> String {
      do {
        _ = try plan {
          $0.budgetBytes = 1 << 20
          $0.contextLength = 4096
          $0.keyValueType = type
        }
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(refusal(nil).contains("--kv q8 needs"))
    #expect(!refusal(.q8).contains("--kv q8") && refusal(.q8).contains("--ram"))
  }

  @Test func requestsOutOfRangeAreRefused() throws {
    let cases: [(String, (inout EngineOptions) -> Void)] = [
      ("--ctx", { $0.contextLength = 1_000_000 }), ("--ctx", { $0.contextLength = 0 }),
      ("--chunk", { $0.chunkLength = 0 }), ("--slots", { $0.slotCount = 3 }),
    ]
    for (subject, change) in cases {
      #expect {
        try self.plan {
          $0.budgetBytes = 1 << 30
          change(&$0)
        }
      } throws: { ($0 as? Failure)?.subject == subject }
    }
  }
}

@Suite struct WarmFillTests {
  private func store(in directory: TemporaryDirectory) throws -> Store {
    try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions())
  }

  private func profile(_ store: Store, fingerprint: Checksum? = nil, counts: [Int]) -> Profile {
    let layers = store.manifest.layers.count
    return Profile(
      model: store.manifest.name, fingerprint: fingerprint ?? store.manifest.fingerprint,
      texts: ["text"], tokenCount: 66, popularity: Array(repeating: counts, count: layers),
      chunks: [], predictionTokenCount: 0, predictions: Array(repeating: nil, count: layers))
  }

  @Test func popularRecordsAreThereBeforeTheFirstToken() throws {
    let directory = try TemporaryDirectory("warm")
    let store = try store(in: directory)
    try profile(store, counts: Array(0..<12)).write(to: store)
    var options = EngineOptions(budgetBytes: 100 << 20, contextLength: 64)
    // Predicted records are hits as well.
    options.streamer.prefetch = false
    let warm = try Engine(store: store, options: options)
    // Expert 0 never occurred in the profile: 11 of 12 are popular.
    #expect(warm.warmedRecords == 33)
    let cold = try Engine(
      store: try OracleStore.pack(
        Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions()),
      options: options)
    let tokens: [Int32] = [5, 6, 7, 8, 9]
    #expect(
      try warm.logits(tokens).logits.map(\.bitPattern)
        == cold.logits(tokens).logits.map(\.bitPattern))
    let statistics = try warm.withCore { core throws(Failure) in core.streamStatistics }
    #expect(statistics.hits > 0)
    #expect(try cold.withCore { core throws(Failure) in core.streamStatistics }.hits == 0)
  }

  @Test func aProfileOfAnotherModelIsRefused() throws {
    let directory = try TemporaryDirectory("warm")
    let store = try store(in: directory)
    func refusal() -> Failure? {
      do {
        _ = try Engine(
          store: store, options: EngineOptions(budgetBytes: 100 << 20, contextLength: 64))
        return nil
      } catch {
        return error
      }
    }
    #expect(refusal() == nil)
    try profile(store, fingerprint: Checksum(value: 1), counts: Array(0..<12)).write(to: store)
    #expect(refusal()?.kind == .mismatch)
    try profile(store, counts: [1, 2]).write(to: store)
    #expect(refusal()?.kind == .malformed)
    for text in ["{}", "[1", #"{"version": 99}"#] {
      try FileSystem.writeAtomically(Array(text.utf8), to: store.filePath(Profile.fileName))
      #expect(refusal()?.subject.hasSuffix(Profile.fileName) == true, "\(text)")
    }
  }
}
