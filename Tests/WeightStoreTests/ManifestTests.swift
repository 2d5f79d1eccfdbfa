import Support
import TestSupport
import Testing

@testable import WeightStore

@Suite struct ManifestTests {
  static let valid = Manifest(
    name: "tiny", config: .object(["model_type": .string("x"), "eps": .number(1e-6)]),
    residentBytes: 4096,
    residents: [
      Manifest.ResidentTensor(
        name: "norm", layout: .vector(count: 7), offset: 0, checksum: Checksum(value: 1)),
      Manifest.ResidentTensor(
        name: "q", layout: .matrix(MatrixLayout(rows: 17, columns: 33, scheme: .q4)), offset: 64,
        checksum: Checksum(value: .max)),
    ],
    layers: [0, 3].map {
      Manifest.Layer(
        layer: $0,
        record: .swiglu(hidden: 64, inner: 24, scheme: .q4, downScheme: .q8),
        checksums: [Checksum(value: 5), Checksum(value: 6)])
    },
    companions: [
      Manifest.Companion(name: "tokenizer.json", bytes: 12, checksum: Checksum(value: 9))
    ],
    source: .object(["format": .string("test")]))

  @Test func readsWhatItWrote() throws {
    let bytes = Self.valid.serialized()
    let again = try Manifest(parsing: bytes, subject: "manifest.json")
    #expect(again == Self.valid)
    #expect(again.serialized() == bytes)
  }

  @Test func checksumsAreXXH3() {
    // Published test vectors of XXH3-64 without a seed.
    #expect(Checksum(of: []).description == "2d06800538d394c2")
    #expect(Checksum(of: Array("abc".utf8)).description == "78af5f94892f3950")
  }

  /// A document with another checksum member, as a careful liar would write it.
  static func signed(_ text: String) throws -> [UInt8] {
    guard var document = try JSONValue.parse(text, subject: "test").object else { return [] }
    document["checksum"] = nil
    let sum = Checksum(of: Array(JSONValue.object(document).serialized().utf8))
    document["checksum"] = .string(sum.description)
    return Array(JSONValue.object(document).serialized().utf8)
  }

  @Test(arguments: [
    (#""version": 1"#, #""version": 3"#, "version"),
    (#""version": 1"#, #""version": 2"#, "features"),
    (#""name": "tiny""#, #""features": [], "name": "tiny""#, "version"),
    (#""name": "tiny""#, #""pool": {}, "name": "tiny""#, "version"),
    (#""format": "fmoe""#, #""format": "zip""#, "format"),
    (#""bytes": 4096"#, #""bytes": -1"#, "resident.bytes"),
    (#""rows": 17"#, #""rows": 0"#, "rows"),
    (#""rows": 17"#, #""rows": 99999999999"#, "rows"),
    (#""scheme": "q4""#, #""scheme": "q7""#, "scheme"),
    (#""count": 7"#, #""count": 70"#, "overlaps"),
    (#""offset": 64"#, #""offset": 65"#, "overlaps"),
    (#""offset": 64"#, #""offset": 4032"#, "overlaps"),
    (#""name": "q""#, #""name": "norm""#, "stands twice"),
    (#""layer": 3"#, #""layer": 0"#, "ascending"),
    (#""stride": 8192"#, #""stride": 4096"#, "stride"),
    (#""checksum": "0000000000000001""#, #""checksum": "1""#, "16 hexadecimal digits"),
    (#""name": "tokenizer.json""#, #""name": "../x""#, "plain file name"),
    (#""config": {"#, #""config": 3, "x": {"#, "config"),
  ])
  func liesAreNamed(old: String, new: String, complaint: String) throws {
    let text = String(decoding: Self.valid.serialized(), as: UTF8.self)
    #expect(text.contains(old))
    let changed = text.replacingFirst(old, with: new)
    #expect {
      _ = try Manifest(parsing: try Self.signed(changed), subject: "manifest.json")
    } throws: { error in
      "\(error)".contains(complaint) && "\(error)".contains("manifest.json")
    }
    // Unsigned, the same change is noticed as such, or as a broken format.
    #expect(throws: Failure.self) {
      _ = try Manifest(parsing: Array(changed.utf8), subject: "manifest.json")
    }
  }

  /// Whatever a manifest says, reading ends in a manifest that keeps its own rules or a failure.
  @Test func mutationsNeverCrash() throws {
    let seed = Self.valid.serialized()
    var fuzzer = Fuzzer(
      "manifest", seeds: [seed],
      dictionary: [
        "\"rows\":", "\"columns\":", "\"offset\":", "\"count\":", "99999999999999999999", "-1",
        "\"sections\":", "\"checksums\":", "[", "]", "{", "}", "null", "1e308",
      ])
    let outcome = try fuzzer.run(iterations: 4000) { bytes in
      var bytes = bytes
      if let text = String(validating: bytes, as: UTF8.self), let better = try? Self.signed(text),
        bytes.count % 8 != 0
      {
        bytes = better
      }
      let manifest = try Manifest(parsing: bytes, subject: "manifest.json")
      var end = 0
      for tensor in manifest.residents {
        guard tensor.offset >= end, tensor.offset % 64 == 0,
          tensor.offset + tensor.layout.bytes <= manifest.residentBytes
        else { throw BrokenPromise() }
        end = tensor.offset + tensor.layout.bytes
      }
      for layer in manifest.layers where layer.fileBytes < layer.expertCount * layer.record.bytes {
        throw BrokenPromise()
      }
    }
    #expect(outcome.accepted > 10 && outcome.refused > 1000)
  }

  private struct BrokenPromise: Error {}
}

extension String {
  func replacingFirst(_ old: String, with new: String) -> String {
    var bytes = Array(utf8)
    let pattern = Array(old.utf8)
    for start in 0...(bytes.count - pattern.count)
    where bytes[start..<start + pattern.count].elementsEqual(pattern) {
      bytes.replaceSubrange(start..<start + pattern.count, with: Array(new.utf8))
      break
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
