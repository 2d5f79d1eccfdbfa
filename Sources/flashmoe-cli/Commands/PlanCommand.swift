import ArgumentParser
import FlashMoE
import Support
import WeightStore

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Show what goes where in a RAM budget, and what speed to expect.",
    discussion: """
      Nothing is loaded. A disk and a memory probe take about a second; --no-probe leaves them \
      out. When the budget is too small, it says what would fit and exits with 1.

      Example: flashmoe plan model.fmoe --ram 6GB --ctx 8192
      """)

  @OptionGroup var model: StoreArgument
  @Flag(name: .customLong("no-probe"), help: "Do not measure disk and memory.")
  var noProbe = false
  @OptionGroup(title: "Memory, streaming and compute") var engine: EngineArguments
  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func run() throws {
    let store = try model.open()
    let options = engine.options
    let plan: MemoryPlan
    do throws(Failure) {
      plan = try Engine.plan(store: store, options: options)
    } catch {
      guard error.kind == .budget else { throw error }
      throw PlanRefusal(error, store: store, options: options)
    }
    let speed = try estimate(plan, store: store)
    if common.json {
      var object: JSONObject = ["store": .string(store.path), "fits": .bool(true)]
      object.note(store.manifest.aliasNote)
      for (key, value) in PlanReport.json(plan).members { object[key] = value }
      object["expected"] = .object(speed.json)
      Output.print(object)
      return
    }
    let share = ByteCount.fixed(plan.cachedShare * 100, digits: 0)
    Output.print(Style.heading("\(store.manifest.name) in \(ByteCount.format(plan.budgetBytes))"))
    AliasNote.print(store.manifest)
    Output.print(PlanReport.table(plan))
    Output.print(
      "  least budget for this context: \(ByteCount.format(plan.minimumBytes)) "
        + "(--ram \(plan.minimumBytes))")
    if plan.slotBytes > 0, plan.cachedShare < 1, plan.eightBitSavingBytes >= plan.slotBytes {
      Output.print(
        "  --kv q8 (lossy) would leave \(ByteCount.format(plan.eightBitSavingBytes)) more to the "
          + "experts")
    }
    if plan.recordCount > 0 { Output.print("  \(share) % of the experts fit the cache") }
    Output.print("")
    Output.print(speed.text)
  }

  private func estimate(_ plan: MemoryPlan, store: Store) throws(Failure) -> SpeedEstimate {
    guard !noProbe else { return SpeedEstimate(plan, disk: nil, memoryBytesPerSecond: nil) }
    // Probes stay inside the budget too, and inside the control group this runs in.
    let free = DiskProbe.freeBytes(budgetBytes: plan.budgetBytes)
    let shape = DiskProbe.shape(freeBytes: free)
    let disk = try DiskProbe.measure(
      path: store.path, blockBytes: shape.blockBytes, depth: shape.depth, seconds: 0.7)
    let memory = try MemoryProbe.measure(
      threads: engine.options.threadCount, budgetBytes: free)
    return SpeedEstimate(plan, disk: disk, memoryBytesPerSecond: memory)
  }
}
