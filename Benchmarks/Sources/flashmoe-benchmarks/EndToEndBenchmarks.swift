import FlashMoE
import Support
import WeightStore

/// Prompt and decode of a store, cold and warm, as `flashmoe bench` measures them.
struct EndToEndBenchmarks {
  let store: Store
  let budgetBytes: Int?
  let threadCount: Int
  let peaks: Peaks

  private static let prompt = 512
  private static let generated = 64

  func run() throws(Failure) -> [Measurement] {
    let options = try BenchOptions(
      promptLengths: [Self.prompt], generationLengths: [Self.generated], repetitions: 3
    ).validated()
    let engine = try Engine(
      store: store,
      options: EngineOptions(
        budgetBytes: budgetBytes, contextLength: options.contextLength, threadCount: threadCount))
    let text: BenchText
    if engine.tokenizer == nil {
      text = BenchText(randomBelow: engine.configuration.vocabularySize, seed: 0)
    } else {
      text = try BenchText(
        tokens: try engine.encode(.text(BenchText.sample, parsesSpecialTokens: false)),
        name: "built-in sample")
    }
    let report = try Benchmark(engine: engine, options: options, text: text).run()
    let touched = engine.plan.residentBytesPerToken + engine.plan.routedBytesPerToken
    return report.rows.map { row in
      var measurement = Measurement(
        group: .endToEnd, name: "\(store.manifest.name) \(row.test.name) \(row.cache.rawValue)",
        value: row.rate.mean, unit: .tokensPerSecond,
        note: [
          row.hitRate.map { "\(ByteCount.fixed($0 * 100, digits: 0)) % hits" },
          "\(ByteCount.format(Int(row.bytesPerToken))) read a token",
          "\(ByteCount.format(report.budgetBytes)) budget",
        ].compactMap(\.self).joined(separator: ", "))
      if row.test.kind == .decode {
        measurement.limit = peaks.memory / Double(touched)
        measurement.limitName = "memory read"
      }
      return measurement
    }
  }
}
