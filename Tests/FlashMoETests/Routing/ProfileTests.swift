import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// What calibration writes and reads again.
@Suite struct ProfileTests {
  private func store(in directory: TemporaryDirectory) throws -> Store {
    try OracleStore.pack(
      Fixtures.path("oracle/qwen3_moe"), in: directory, options: PackingOptions())
  }

  /// Every field different from its neighbours.
  private func profile(_ store: Store) -> Profile {
    let layers = store.manifest.layers
    return Profile(
      model: store.manifest.name, fingerprint: store.manifest.fingerprint,
      texts: ["a.txt", "b \"quoted\".txt"], tokenCount: 4321,
      popularity: layers.indices.map { layer in
        (0..<layers[layer].expertCount).map { 100 * layer + 7 * $0 % 12 }
      },
      chunks: [
        Profile.Chunk(
          tokens: 256,
          layers: layers.indices.map {
            Profile.Rows(
              median: 1 + $0, ninetieth: 10 + $0, ninetyNinth: 20 + $0, largest: 30 + $0,
              expertsUsed: 9.25 + Double($0))
          })
      ], predictionTokenCount: 99,
      predictions: layers.indices.map { $0 == 0 ? nil : [0.75, 0.5, 0.25, 0.125 * Double($0)] })
  }

  @Test func whatIsWrittenIsRead() throws {
    let directory = try TemporaryDirectory("profile")
    let store = try store(in: directory)
    #expect(try Profile(of: store) == nil)
    let profile = profile(store)
    try profile.write(to: store)
    #expect(try Profile(of: store) == profile)
    // A second calibration replaces the first.
    var other = profile
    other.tokenCount = 5
    other.chunks = []
    try other.write(to: store)
    #expect(try Profile(of: store) == other)
  }

  @Test func rankingIsByCountThenLayerThenExpert() throws {
    let directory = try TemporaryDirectory("profile")
    var profile = profile(try store(in: directory))
    profile.popularity = [[3, 0, 5], [5, 1, 0], [0, 5, 3]]
    #expect(profile.ranking.map(\.layer) == [0, 1, 2, 0, 2, 1])
    #expect(profile.ranking.map(\.expert) == [2, 0, 1, 0, 2, 1])
  }

  /// One thing wrong at a time; the place is named.
  @Test func whatIsWrongIsNamed() throws {
    let directory = try TemporaryDirectory("profile")
    let store = try store(in: directory)
    let sound = profile(store).json
    let path = store.filePath(Profile.fileName)
    func refusal(_ change: (inout JSONObject) -> Void) throws -> Failure? {
      var json = sound
      change(&json)
      try FileSystem.writeAtomically(Array(JSONValue.object(json).serialized().utf8), to: path)
      do {
        _ = try Profile(of: store)
        return nil
      } catch {
        return error
      }
    }
    #expect(try refusal { _ in } == nil)
    let rows = JSONValue.object([
      "p50": .integer(1), "p90": .integer(-1), "p99": .integer(3), "max": .integer(4),
      "experts_used": .number(2),
    ])
    let cases: [(String, JSONValue?, Failure.Kind, String)] = [
      ("version", nil, .malformed, "version"),
      ("version", .integer(Profile.version + 1), .unsupported, ""),
      ("fingerprint", nil, .malformed, "fingerprint"),
      ("fingerprint", .string("xyz"), .malformed, "fingerprint"),
      ("fingerprint", .string("0123456789abcdef"), .mismatch, "fingerprint"),
      ("tokens", .integer(-1), .malformed, "tokens"),
      ("tokens", .string("many"), .malformed, "tokens"),
      ("popularity", .array([]), .malformed, "popularity"),
      (
        "popularity", .array(Array(repeating: .array([.integer(1)]), count: 3)), .malformed, "layer"
      ),
      ("prediction_tokens", nil, .malformed, "prediction_tokens"),
      ("predictions", .array([.null]), .malformed, "predictions"),
      (
        "predictions", .array([.null, .array([.number(1.5)]), .null]), .malformed, "predictions"
      ),
      (
        "rows_per_chunk",
        .array([
          .object(["tokens": .integer(8), "layers": .array(Array(repeating: rows, count: 3))])
        ]), .malformed, "p90"
      ),
    ]
    for (key, value, kind, place) in cases {
      let failure = try refusal { $0[key] = value }
      #expect(failure?.kind == kind, "\(key)")
      #expect(failure?.subject == path)
      #expect(place.isEmpty || failure?.place?.contains(place) == true, "\(key)")
      #expect(failure?.remedy?.contains("calibrate") == true)
    }
  }

  /// Rows of chunks, and what is popular, against counting by hand.
  @Test func counterAgreesWithPlainCounting() {
    let (experts, perToken, chunk) = (5, 2, 4)
    var state = 9
    var next: Int { state = (state * 75 + 74) % 65537; return state }
    let routing = (0..<2).map { _ in
      (0..<11).flatMap { _ -> [Int32] in
        let first = next % experts
        return [Int32(first), Int32((first + 1 + next % (experts - 1)) % experts)]
      }
    }
    var counter = RoutingCounter(
      layerExperts: [experts, experts], expertsPerToken: perToken, chunkTokens: [64, chunk])
    // In two portions; the last three tokens are no whole chunk.
    counter.add(routing.map { Array($0.prefix(10)) })
    counter.add(routing.map { Array($0.dropFirst(10)) })
    counter.endText()
    #expect(counter.chunks.map(\.tokens) == [chunk])
    for layer in 0..<2 {
      for expert in 0..<experts {
        #expect(
          counter.popularity[layer][expert]
            == routing[layer].count { $0 == Int32(expert) })
      }
      var rows: [Int] = []
      for start in [0, chunk] {
        let part = routing[layer][start * perToken..<(start + chunk) * perToken]
        for expert in 0..<experts {
          let count = part.count { $0 == Int32(expert) }
          if count > 0 { rows.append(count) }
        }
      }
      rows.sort()
      let found = counter.chunks[0].layers[layer]
      #expect(found.expertsUsed == Double(rows.count) / 2)
      #expect(found.largest == rows.last)
      #expect(found.median == rows[(rows.count + 1) / 2 - 1])
      #expect(found.ninetieth == rows[Int((0.9 * Double(rows.count)).rounded(.up)) - 1])
    }
  }
}
