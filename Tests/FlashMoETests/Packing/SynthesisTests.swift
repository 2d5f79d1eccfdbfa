import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

@Suite struct SynthesisTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("synth") }

  @Test func shapesAreTheRealOnes() throws {
    // Design §10: 2.65 MB a record, 16.3 GB of records, for Qwen3-30B-A3B.
    let plan = try Synthesis.plan(try ModelShape.named("qwen3-30b-a3b"))
    #expect(plan.layers.count == 48 && plan.layers[0].experts.count == 128)
    #expect(plan.layers[0].record.stride == 2_654_208)
    #expect((16_200_000_000..<16_400_000_000).contains(plan.expertBytes))
    let weights = plan.sourceBytes
    #expect((17_000_000_000..<17_500_000_000).contains(weights))
    #expect(try Synthesis.plan(try ModelShape.named("qwen3-30b-a3b"), layers: 2).layers.count == 2)
    for shape in ModelShape.all { _ = try Synthesis.plan(shape, layers: 1) }
    #expect(throws: Failure.self) { try Synthesis.plan(ModelShape.all[0], layers: 0) }
    #expect(throws: Failure.self) { try Synthesis.plan(ModelShape.all[0], skew: -1) }
    #expect(try ModelShape.named("Qwen3-Coder-Next-80B-A3B").name == "qwen3-coder-next")
    let unknown = #expect(throws: Failure.self) { try ModelShape.named("qwen9") }
    #expect(unknown?.kind == .usage && unknown?.remedy?.contains("qwen3-30b-a3b") == true)
  }

  @Test func theSeedDecidesTheBytes() throws {
    let shape = try ModelShape.named("qwen3-tiny")
    func checksums(_ seed: UInt64, _ name: String, threads: Int) throws -> [Checksum] {
      try Packer.pack(
        try Synthesis.plan(shape, seed: seed), to: directory.file(name),
        options: PackOptions(threadCount: threads))
      let manifest = try Store(opening: directory.file(name)).manifest
      #expect(manifest.config["flashmoe_synthetic"]?.bool == true)
      #expect(
        manifest.residents.filter { $0.name.contains("proj") }.allSatisfy {
          $0.layout.scheme == .q4
        })
      return manifest.residents.map(\.checksum) + manifest.layers.flatMap(\.checksums)
    }
    let one = try checksums(1, "1.fmoe", threads: 1)
    #expect(try checksums(1, "1b.fmoe", threads: 3) == one)
    #expect(try checksums(2, "2.fmoe", threads: 1) != one)
    #expect(Set(one.suffix(24).map(\.value)).count == 24)
  }

  /// Zero mean, the variance the gain asks for, and rows that are not alike.
  @Test func numbersAreSpreadAsPlanned() throws {
    let matrix = SyntheticMatrix(
      subject: "s", name: "m", rows: 200, columns: 2048, key: 3, gain: 0.5)
    var random = SeededRandom(seed: 0)
    var tensor = TestTensor("m", "Q4_0", [200, 2048], &random)
    tensor.bytes.withUnsafeMutableBytes { buffer in
      try? matrix.read(rows: 0..<200, into: buffer)
    }
    var (sum, squares, dot) = (0.0, 0.0, 0.0)
    for at in 0..<200 * 2048 {
      let value = Double(tensor.value(at))
      sum += value
      squares += value * value
      if at >= 2048 { dot += value * Double(tensor.value(at - 2048)) }
    }
    let deviation = (squares / (200 * 2048)).squareRoot()
    #expect(abs(deviation * 2048.squareRoot() / 0.5 - 1) < 0.01)
    #expect(abs(sum / (200 * 2048)) < 4 * deviation / 640)
    #expect(abs(dot / squares) < 4 / 640)
    // Reading a part gives the same rows.
    var part = [UInt8](repeating: 0, count: 3 * 1152)
    part.withUnsafeMutableBytes { buffer in try? matrix.read(rows: 50..<53, into: buffer) }
    #expect(part == Array(tensor.bytes[50 * 1152..<53 * 1152]))

    let router = SyntheticRouter(
      subject: "s", name: "r", rows: 128, columns: 256, key: 4, skew: 0.5)
    var values = [Float](repeating: 0, count: 128 * 256)
    values.withUnsafeMutableBytes { buffer in try? router.read(rows: 0..<128, into: buffer) }
    let norms = (0..<128).map { row in
      values[row * 256..<(row + 1) * 256].reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
    }.sorted()
    #expect((1.6..<2.4).contains(norms[64]))
    // A log-normal spread of 0.5: the quartiles are about e^±0.34 of the median.
    #expect((1.6..<2.5).contains(norms[96] / norms[32]))
  }

  @Test func halvesAreRounded() {
    for value in [1.0, 0.3, 0.0011, 0.23923, 65504, 0.00006104] as [Float] {
      #expect(SyntheticMatrix.half(value) == Float16(value).bitPattern, "\(value)")
    }
  }
}
