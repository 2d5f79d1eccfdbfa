import Glibc
import Support
import TestSupport
import Testing

@testable import WeightStore

@Suite struct VerificationTests {
  private let directory: TemporaryDirectory
  private let path: String

  init() throws {
    directory = try TemporaryDirectory("verify")
    path = directory.file("a.fmoe")
    try Packer.pack(PackFixtures.plan(), to: path)
  }

  private func flip(_ file: String, _ at: Int) throws {
    var bytes = try FileSystem.readBytes(path + "/" + file)
    bytes[at] ^= 0x10
    try directory.write(bytes, to: "a.fmoe/" + file)
  }

  @Test func aSoundStoreIsSound() throws {
    let report = try Verification.verify(path)
    #expect(report.isSound && report.unknownFiles.isEmpty)
    #expect(report.residentTensors == 3 && report.records == 6 && report.companions == 1)
    let plan = PackFixtures.plan()
    #expect(report.bytes == plan.storeBytes)
  }

  /// Every byte of the data files belongs to some check: one flipped bit anywhere is found, and
  /// the right item is named.
  @Test func aFlippedBitAnywhereIsFound() throws {
    let manifest = try Store(opening: path).manifest
    for at in stride(from: 0, to: manifest.residentBytes, by: 97) {
      try flip("resident.bin", at)
      let problems = try Verification.verify(path).problems
      #expect(problems.count == 1)
      #expect(problems.first?.kind == .corrupt)
      let owner = try #require(manifest.residents.last { $0.offset <= at })
      #expect(problems.first?.place == "tensor \(owner.name), offset \(owner.offset)")
      try flip("resident.bin", at)
    }
    let layer = manifest.layers[1]
    for at in stride(from: 3, to: layer.fileBytes, by: 997) {
      try flip(layer.file, at)
      let problems = try Verification.verify(path).problems
      let expert = at / layer.record.stride
      #expect(
        problems.map(\.place) == [
          "layer 2, expert \(expert), offset \(expert * layer.record.stride)"
        ])
      #expect(problems.first?.subject == path + "/experts/layer-02.bin")
      try flip(layer.file, at)
    }
    try flip("tokenizer.json", 3)
    #expect(try Verification.verify(path).problems.map(\.subject) == [path + "/tokenizer.json"])
    try flip("tokenizer.json", 3)
    let size = try FileSystem.readBytes(path + "/manifest.json").count
    // Not the last byte: the line's end may become other white space, which changes nothing.
    for at in stride(from: 0, to: size - 1, by: 61) {
      let before = try FileSystem.readBytes(path + "/manifest.json")
      // White space between members carries no meaning.
      if before[at] == 0x20 || before[at] == 0x0A { continue }
      try flip("manifest.json", at)
      let problems = try Verification.verify(path).problems
      #expect(problems.map(\.subject) == [path + "/manifest.json"])
      try flip("manifest.json", at)
    }
    #expect(try Verification.verify(path).isSound)
  }

  @Test func everyProblemIsReported() throws {
    try flip("resident.bin", 0)
    try flip("experts/layer-01.bin", 0)
    try flip("experts/layer-01.bin", try Store(opening: path).manifest.layers[0].record.stride)
    try flip("tokenizer.json", 0)
    try directory.write("?", to: "a.fmoe/stranger")
    let report = try Verification.verify(path)
    #expect(
      report.problems.map(\.subject)
        == [
          "resident.bin", "experts/layer-01.bin", "experts/layer-01.bin", "tokenizer.json",
        ].map { path + "/" + $0 })
    #expect(report.unknownFiles == ["stranger"])
  }

  @Test func cutAndMissingFilesAreReported() throws {
    let record = try Store(opening: path).manifest.layers[0].record
    let file = try File(path + "/experts/layer-01.bin", .update)
    try file.truncate(to: record.stride + 100)
    try FileSystem.remove(path + "/experts/layer-02.bin")
    let problems = try Verification.verify(path).problems
    #expect(problems.count == 4)
    #expect(problems.filter { $0.problem.contains("where the manifest says") }.count == 1)
    #expect(problems.filter { $0.place?.contains("layer 1, expert") == true }.count == 2)
    #expect(problems.last?.kind == .notFound)
    #expect(problems.last?.subject == path + "/experts/layer-02.bin")
  }

  @Test func pathsThatAreNoStoreAreRefused() throws {
    for name in ["", "nothing"] {
      let failure = #expect(throws: Failure.self) {
        try Verification.verify(directory.path + "/" + name)
      }
      #expect(failure?.kind == .notFound)
    }
    let failure = #expect(throws: Failure.self) {
      try Verification.verify(path, isCancelled: { true })
    }
    #expect(failure?.kind == .cancelled)
  }
}
