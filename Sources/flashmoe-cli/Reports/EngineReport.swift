import FlashMoE
import Support

/// What is about to run, in a line or two.
enum EngineReport {
  static func headline(_ engine: Engine) -> String {
    let configuration = engine.configuration
    let plan = engine.plan
    var parts = [
      engine.store.manifest.name,
      "\(configuration.layerCount) layers",
    ]
    if plan.recordCount > 0 {
      parts.append("\(configuration.experts.count) experts, top-\(configuration.experts.perToken)")
      parts.append(
        "\(plan.slotCount) of \(plan.recordCount) experts fit \(ByteCount.format(plan.budgetBytes))"
      )
    }
    parts.append("\(engine.kernelDescription), \(engine.options.threadCount) threads")
    return Style.dimmed(parts.joined(separator: " · "))
  }

  /// Headline, and with --verbose the plan and the reader.
  static func announce(_ engine: Engine, verbose: Bool) {
    Output.message(headline(engine))
    AliasNote.tell(engine.store.manifest)
    guard verbose else { return }
    Output.message(PlanReport.table(engine.plan))
    Output.message("  reading: \(engine.streamingDescription)")
    Output.message("  threads: \(engine.options.threadCount), \(engine.placementDescription)")
    for problem in ProcessorTopology.current.problems {
      Output.message("  threads: /sys/devices/\(problem)")
    }
    if engine.warmedRecords > 0 {
      Output.message("  \(engine.warmedRecords) popular experts loaded at start")
    }
  }
}
