import Support
import TestSupport
import Testing

@testable import WeightStore

/// The file keeps everything, and a hostile one is one clear error.
@Suite struct RoutingTraceTests {
  /// Layers of different widths, a layer without predictions, prompt and decode steps.
  static func sample(tokens: Int = 9, seed: UInt64 = 5) -> RoutingTrace {
    var dice = Dice(seed)
    let experts = [7, 5, 9]
    var trace = RoutingTrace(
      model: "sample", fingerprint: Checksum(value: 77),
      layers: experts.enumerated().map {
        RoutingTrace.Layer(layer: 2 * $0.offset, expertCount: $0.element, recordBytes: 8192)
      }, expertsPerToken: 2, predictionCount: 3,
      texts: [RoutingTrace.Text(name: "a \"b\".txt", tokenCount: tokens)])
    for token in 0..<tokens {
      trace.beginToken(UInt32(1000 + token))
      for (layer, count) in experts.enumerated() {
        let probabilities = (0..<count).map { _ in Float(1 + dice.below(1000)) / 4000 }
        let order = probabilities.indices.sorted {
          (probabilities[$1], $0) < (probabilities[$0], $1)
        }
        let chosen = order.prefix(2).map { Int32($0) }
        probabilities.withUnsafeBufferPointer { values in
          guard let base = values.baseAddress else { return }
          chosen.withUnsafeBufferPointer {
            trace.record(layer: layer, probabilities: base, experts: $0)
          }
          if layer > 0 { trace.predict(layer: layer, probabilities: base) }
        }
      }
    }
    trace.appendStep(rows: 4)
    for _ in 4..<tokens { trace.appendStep(rows: 1) }
    return trace
  }

  @Test func aWrittenTraceIsReadAsItWas() throws {
    let directory = try TemporaryDirectory("trace")
    for tokens in [4, 5, 40] {
      let trace = Self.sample(tokens: tokens)
      try trace.write(to: directory.file("a.trace"))
      #expect(try RoutingTrace(reading: directory.file("a.trace")) == trace)
      #expect(trace.serialized().count == trace.serializedBytes)
    }
    #expect(Self.sample().steps.map(\.rows) == [4, 1] && Self.sample().steps[1].count == 5)
  }

  @Test func predictionsAreTheLikeliestInOrder() {
    let trace = Self.sample()
    for token in 0..<trace.tokenCount {
      for layer in 1..<3 {
        // The same probabilities were recorded: the chosen ones come first.
        let predicted = trace.predictedExperts(of: token..<token + 1, layer: layer, ranks: 3)
        #expect(predicted.count == 3 && Set(predicted).count == 3)
        #expect(
          predicted.prefix(2).map { $0 }
            == trace.experts(of: token..<token + 1, layer: layer))
      }
      #expect(trace.predictedExperts(of: token..<token + 1, layer: 0, ranks: 3).isEmpty)
    }
    let union = trace.experts(of: 0..<4, layer: 2)
    #expect(
      union == Array(Set((0..<4).flatMap { trace.experts(of: $0..<$0 + 1, layer: 2) })).sorted())
  }

  /// A version-1 file from the repository: the format does not drift.
  @Test func theShippedTraceIsRead() throws {
    let trace = try RoutingTrace(reading: Fixtures.path("traces/demo-16.trace"))
    #expect(trace.tokenCount == 16 && trace.layers.count == 6 && trace.recordCount == 384)
    #expect(trace.expertsPerToken == 4 && trace.predictionCount == 8)
    #expect(trace.steps == [.init(rows: 4, count: 1), .init(rows: 1, count: 12)])
    for token in 0..<16 {
      for layer in 0..<6 {
        let chosen = trace.experts(of: token..<token + 1, layer: layer).map { Int($0) }
        let codes = trace.codes[(token * 6 + layer) * 64..<(token * 6 + layer + 1) * 64]
        let codesOfChosen = chosen.map { codes[codes.startIndex + $0] }
        #expect(codesOfChosen == codesOfChosen.sorted(by: >))
        #expect(codes.filter { $0 > (codesOfChosen.last ?? 0) }.count < 4)
      }
    }
    #expect(
      try trace.serialized() == FileSystem.readBytes(Fixtures.path("traces/demo-16.trace")))
  }

  private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
    var bytes = Array(bytes.dropLast(8))
    withUnsafeBytes(of: Checksum(of: bytes).value.littleEndian) { bytes += $0 }
    return bytes
  }

  private static func withHeader(_ old: String, _ new: String) -> [UInt8] {
    let bytes = sample().serialized()
    let length = Int(bytes[12]) | Int(bytes[13]) << 8
    let header = String(decoding: bytes[16..<16 + length], as: UTF8.self)
    precondition(header.contains(old))
    let parts = header.split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
    let changed = Array((parts[0] + new + parts[1]).utf8)
    var out = Array(bytes[..<12])
    withUnsafeBytes(of: UInt32(changed.count).littleEndian) { out += $0 }
    return sealed(out + changed + bytes[(16 + length)...])
  }

  @Test func wrongFilesSayWhatIsWrong() throws {
    let valid = Self.sample().serialized()
    func expect(_ bytes: [UInt8], _ kind: Failure.Kind, _ words: String...) {
      #expect(
        complaint(words.joined(), kind, ["x.trace"] + words) {
          _ = try RoutingTrace(parsing: bytes, subject: "x.trace")
        } == nil)
    }
    expect([], .malformed, "not a routing trace")
    expect(Array("FMOETRCEFMOETRCF".utf8) + valid, .unsupported, "version")
    var other = valid
    other[8] = 2
    expect(other, .unsupported, "version 2", "version 1")
    other = valid
    other[valid.count / 2] ^= 1
    expect(other, .corrupt, "checksum")
    expect(Array(valid.dropLast()), .corrupt, "truncated")
    expect(Self.sealed(Array(valid.dropLast(1)) + []), .malformed, "bytes of routing")
    expect(Self.withHeader("\"tokens\":9,", "\"tokens\":8,"), .malformed)
    expect(Self.withHeader("[1,5]", "[1,4]"), .malformed, "steps", "leave 1")
    expect(Self.withHeader("[1,5]", "[9223372036854775807,9]"), .malformed, "steps")
    expect(
      Self.withHeader("\"experts_per_token\":2", "\"experts_per_token\":6"), .malformed,
      "experts_per_token")
    expect(Self.withHeader("\"experts\":9", "\"experts\":0"), .malformed, "experts")
    expect(Self.withHeader("\"fingerprint\":\"", "\"fingerprint\":\"x"), .malformed, "model")
    // The first chosen expert: after the header and the tokens.
    let length = Int(valid[12]) | Int(valid[13]) << 8
    let first = 16 + length + 9 * 4
    other = valid
    other[first] = 7
    expect(Self.sealed(other), .malformed, "chosen, token 0, layer 0", "no expert 7")
    other = valid
    other[first] = other[first + 2]
    expect(Self.sealed(other), .malformed, "stands twice")
    let predicted = first + 9 * 3 * 2 * 2
    other = valid
    other[predicted] = 3
    other[predicted + 1] = 0
    expect(Self.sealed(other), .malformed, "predicted, token 0, layer 0")
    #expect(
      complaint("missing", .notFound, ["flashmoe trace"]) {
        _ = try RoutingTrace(reading: "/nonexistent/a.trace")
      } == nil)
  }

  /// Mutated traces with their hash put right: refused, or whole.
  @Test func mutatedTracesNeverCrash() throws {
    var fuzzer = Fuzzer(
      "trace", seeds: [Self.sample().serialized(), Self.sample(tokens: 5).serialized()],
      dictionary: ["\"layers\":", "\"experts\":", "\"steps\":", "[1,5]", "\"tokens\":"])
    let outcome = try fuzzer.run(iterations: 4000) { bytes in
      let sealed = bytes.count > 8 ? Self.sealed(bytes) : bytes
      let trace = try RoutingTrace(parsing: sealed, subject: "fuzz")
      #expect(trace.steps.reduce(0) { $0 + $1.rows * $1.count } == trace.tokenCount)
      #expect(trace.codes.count == trace.tokenCount * trace.recordCount)
      guard trace.tokenCount < 200, trace.recordCount < 1000 else { return }
      _ = CacheReplay(trace).run(
        .online(.foresight),
        CacheReplay.Options(slotCount: trace.expertsPerToken + 1, prediction: true))
    }
    #expect(outcome.accepted > 20 && outcome.refused > 500)
  }

  @Test func codesKeepOrderAndSize() {
    var last: UInt8 = 0
    for step in 0...20_000 {
      let probability = Float(step) / 20_000
      let code = RouterCode.code(probability)
      #expect(code >= last)
      last = code
      guard probability > 1e-4 else { continue }
      #expect(abs(RouterCode.probability(code) / probability - 1) < 1.0 / 16)
    }
    #expect(
      RouterCode.code(1) == 255 && RouterCode.code(2) == 255 && RouterCode.code(.infinity) == 255)
    for nothing in [Float(0), -0.0, -1, -Float.infinity, .nan, 1e-20, .leastNonzeroMagnitude] {
      #expect(RouterCode.code(nothing) == 0)
    }
    for code in UInt8(1)...255 { #expect(RouterCode.code(RouterCode.probability(code)) == code) }
    #expect(RouterCode.table[200] == RouterCode.probability(200))
  }
}
