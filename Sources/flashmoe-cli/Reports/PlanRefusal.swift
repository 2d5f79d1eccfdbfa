import FlashMoE
import Support
import WeightStore

/// A budget that cannot hold the model, with what would.
struct PlanRefusal: Error {
  private let failure: Failure
  /// The context asked for, or the shortest default.
  private let context: Int
  /// The least budget for that context.
  private let minimum: Int?
  /// The longest context (a power of two) that fits the budget as it is.
  private let fittingContext: Int?
  /// The least budget for that context with 8-bit keys and values, where they are not in use.
  private let eightBitMinimum: Int?

  init(_ failure: Failure, store: Store, options: EngineOptions) {
    self.failure = failure
    func plan(_ change: (inout EngineOptions) -> Void) -> MemoryPlan? {
      var changed = options
      change(&changed)
      return try? Engine.plan(store: store, options: changed)
    }
    let wanted = options.contextLength ?? 256
    context = wanted
    func minimum(_ change: (inout EngineOptions) -> Void = { _ in }) -> Int? {
      plan {
        $0.budgetBytes = 1 << 50
        $0.contextLength = wanted
        $0.chunkLength = nil
        $0.slotCount = nil
        change(&$0)
      }?.minimumBytes
    }
    self.minimum = minimum()
    eightBitMinimum = options.keyValueType == .q8 ? nil : minimum { $0.keyValueType = .q8 }
    var fitting: Int?
    var length = 1
    while length * 2 < wanted { length *= 2 }
    while length >= 64, fitting == nil {
      if plan({ $0.contextLength = length }) != nil { fitting = length }
      length /= 2
    }
    fittingContext = fitting
  }

  /// Prints it and returns the exit code.
  func report() -> Int32 {
    ErrorReport.tell(
      failure,
      extra: [
        "fits": .bool(false), "context": .integer(context), "minimum_bytes": .optional(minimum),
        "context_that_fits": .optional(fittingContext),
        "kv_q8_minimum_bytes": .optional(eightBitMinimum),
      ])
    guard !ErrorReport.wantsJSON else { return ErrorReport.failureCode }
    Output.message("What would fit:")
    if let minimum {
      Output.message(
        "  --ram \(minimum)  (\(ByteCount.format(minimum))) with a context of \(context)")
    }
    if let eightBitMinimum {
      Output.message(
        "  --kv q8 --ram \(eightBitMinimum)  (\(ByteCount.format(eightBitMinimum))) with a context "
          + "of \(context); \(KeyValueType.cost)")
    }
    if let fittingContext { Output.message("  --ctx \(fittingContext)  in this budget") }
    return ErrorReport.failureCode
  }
}
