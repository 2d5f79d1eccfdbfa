import FlashMoE
import Support

/// A memory plan, for people and for machines.
enum PlanReport {
  static func table(_ plan: MemoryPlan) -> String {
    var table = Table(.left, .right, .left)
    for item in plan.items { table.add(item.name, ByteCount.format(item.bytes), item.note) }
    table.add(
      "planned", ByteCount.format(plan.plannedBytes),
      "of a budget of "
        + ByteCount.format(plan.budgetBytes))
    return table.text()
  }

  static func json(_ plan: MemoryPlan) -> JSONObject {
    [
      "budget_bytes": .integer(plan.budgetBytes),
      "planned_bytes": .integer(plan.plannedBytes),
      "minimum_bytes": .integer(plan.minimumBytes),
      "items": .array(
        plan.items.map {
          .object([
            "name": .string($0.name), "bytes": .integer($0.bytes), "note": .string($0.note),
          ])
        }),
      "context": .integer(plan.contextLength),
      "chunk": .integer(plan.chunkLength),
      "kv": .string(plan.keyValueType.rawValue),
      "kv_q8_saving_bytes": .integer(plan.eightBitSavingBytes),
      "slots": .integer(plan.slotCount),
      "slot_bytes": .integer(plan.slotBytes),
      "records": .integer(plan.recordCount),
      "cached_share": .number(plan.cachedShare),
      "routed_bytes_per_token": .integer(plan.routedBytesPerToken),
      "resident_bytes_per_token": .integer(plan.residentBytesPerToken),
    ]
  }
}
