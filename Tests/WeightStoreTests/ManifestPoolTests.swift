import Support
import TestSupport
import Testing

@testable import WeightStore

/// Manifests whose layers share a pool of records.
@Suite struct ManifestPoolTests {
  static let pool = Manifest.Pool(
    record: .swiglu(hidden: 64, inner: 24, scheme: .q4, downScheme: .q8),
    checksums: (1...3).map { Checksum(value: UInt64($0)) })
  static let valid: Manifest = {
    var manifest = ManifestTests.valid
    manifest.pool = pool
    manifest.layers = [
      Manifest.Layer(layer: 0, records: [0, 1], of: pool),
      Manifest.Layer(layer: 3, records: [2, 0, 2], of: pool),
    ]
    return manifest
  }()

  @Test func readsWhatItWrote() throws {
    let bytes = Self.valid.serialized()
    let again = try Manifest(parsing: bytes, subject: "manifest.json")
    #expect(again == Self.valid)
    #expect(again.serialized() == bytes)
    let stride = Self.pool.record.stride
    #expect(again.layers[1].checksums.map(\.value) == [3, 1, 3])
    #expect((0..<3).map(again.layers[1].offset(ofExpert:)) == [2 * stride, 0, 2 * stride])
    #expect(again.layers.allSatisfy { $0.file == "experts/pool.bin" && $0.fileBytes == 3 * stride })
    #expect(again.recordFiles.map(\.file) == ["experts/pool.bin"])
    #expect(again.recordCount == 5 && again.expertBytes == 5 * stride)
    #expect(again.recordFileBytes == 3 * stride)
    let note = try #require(again.aliasNote)
    for word in ["aliased", "24.6 KB", "synthetic", "real reads", "meaningless"] {
      #expect(note.contains(word), "\(note)")
    }
    #expect(ManifestTests.valid.aliasNote == nil)
  }

  /// Stores without a pool are still what builds that know nothing of it read.
  @Test func onlyPoolsNeedTheSecondVersion() {
    let plain = String(decoding: ManifestTests.valid.serialized(), as: UTF8.self)
    #expect(plain.contains(#""version": 1"#) && !plain.contains("features"))
    let aliased = String(decoding: Self.valid.serialized(), as: UTF8.self)
    #expect(aliased.contains(#""version": 2"#) && aliased.contains("aliased-records"))
  }

  @Test(arguments: [
    (#""version": 2"#, #""version": 1"#, "no features"),
    (#"["aliased-records"]"#, #"["aliased-records", "time-travel"]"#, "time-travel"),
    (#"["aliased-records"]"#, #"["aliased-records", "aliased-records"]"#, "stands twice"),
    (#"["aliased-records"]"#, #"[]"#, "features"),
    (#"["aliased-records"]"#, #"[7]"#, "features[0]"),
    (#"["aliased-records"]"#, #""aliased-records""#, "features"),
    (#""records": [2,0,2]"#, #""records": [3, 0, 2]"#, "layers[1].records[0]"),
    (#""records": [2,0,2]"#, #""records": [2, -1, 2]"#, "layers[1].records[1]"),
    (#""records": [2,0,2]"#, #""records": [2, 0.5, 2]"#, "layers[1].records[1]"),
    (#""records": [2,0,2]"#, #""records": [2, 0, 9223372036854775807]"#, "records[2]"),
    (#""records": [2,0,2]"#, #""records": []"#, "layers[1].records"),
    (#""records": [2,0,2]"#, #""records": 2"#, "layers[1].records"),
    (#""records": [2,0,2]"#, #""record": [2, 0, 2]"#, "layers[1].records"),
    (#""records": [2,0,2]"#, #""checksums": [], "records": [2, 0, 2]"#, "layers[1].checksums"),
    (#""layer": 3"#, #""layer": 0"#, "ascending"),
    (#""pool": {"#, #""puddle": {"#, "pool.sections"),
    (#""stride": 8192"#, #""stride": 4096"#, "pool.stride"),
    (#""rows": 64"#, #""rows": 0"#, "pool.sections[0].rows"),
    (#""checksums": ["#, #""checksums": [], "x": ["#, "pool.checksums"),
    (#""0000000000000002""#, #""02""#, "pool.checksums[1]"),
  ])
  func liesAreNamed(old: String, new: String, complaint: String) throws {
    let text = String(decoding: Self.valid.serialized(), as: UTF8.self)
    #expect(text.contains(old), "\(old)")
    let changed = text.replacingFirst(old, with: new)
    #expect {
      _ = try Manifest(parsing: try ManifestTests.signed(changed), subject: "manifest.json")
    } throws: { error in
      "\(error)".contains(complaint) && "\(error)".contains("manifest.json")
    }
  }

  /// Whatever a manifest says, an expert's record lies inside the pool, or reading fails.
  @Test func mutationsNeverLeaveThePool() throws {
    struct BrokenPromise: Error {}
    var fuzzer = Fuzzer(
      "manifest-pool", seeds: [Self.valid.serialized(), ManifestTests.valid.serialized()],
      dictionary: [
        "\"records\":", "\"pool\":", "\"features\":", "\"checksums\":", "\"version\": 1",
        "\"aliased-records\"", "99999999999999999999", "-1", "[", "]", "{", "}", "null", "1e308",
      ])
    let outcome = try fuzzer.run(iterations: 4000) { bytes in
      var bytes = bytes
      if let text = String(validating: bytes, as: UTF8.self),
        let better = try? ManifestTests.signed(text), bytes.count % 8 != 0
      {
        bytes = better
      }
      let manifest = try Manifest(parsing: bytes, subject: "manifest.json")
      for layer in manifest.layers {
        for expert in 0..<layer.expertCount
        where layer.offset(ofExpert: expert) + layer.record.stride > layer.fileBytes {
          throw BrokenPromise()
        }
      }
    }
    #expect(outcome.accepted > 10 && outcome.refused > 1000)
  }
}
