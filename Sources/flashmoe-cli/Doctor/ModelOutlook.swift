import FlashMoE
import Support

/// What to expect of one model on this machine: a model of bytes and bandwidths, not a measurement.
struct ModelOutlook {
  let model: ShapePlan
  /// Tokens a second; nil where something was not measured or the model does not fit.
  let decode: (withoutOverlap: Double, withOverlap: Double)?
  let prompt: Double?

  /// A prompt long enough that every expert is needed and read once.
  static let promptTokens = 2048

  init(_ model: ShapePlan, machine: MachineFacts) {
    self.model = model
    guard let plan = model.plan, let measured = machine.measured else {
      (decode, prompt) = (nil, nil)
      return
    }
    let missing = 1 - plan.cachedShare
    // Without a disk's speed only what needs no disk can be told.
    guard missing == 0 || measured.disk != nil else {
      (decode, prompt) = (nil, nil)
      return
    }
    let disk = max(measured.disk?.reading.bytesPerSecond ?? 1, 1)
    let memory = max(measured.memoryBytesPerSecond, 1)
    let diskSeconds = Double(plan.routedBytesPerToken) * missing / disk
    let memorySeconds = Double(plan.routedBytesPerToken + plan.residentBytesPerToken) / memory
    decode = (1 / (diskSeconds + memorySeconds), 1 / max(diskSeconds, memorySeconds))
    let tokens = min(Self.promptTokens, plan.contextLength)
    let chunks = Double((tokens + plan.chunkLength - 1) / plan.chunkLength)
    let computing =
      2 * Double(model.activeParameters) * Double(tokens) / max(measured.operationsPerSecond, 1)
    let reading = chunks * Double(model.expertBytes) * missing / disk
    prompt = Double(tokens) / max(computing, reading)
  }

  /// `all in memory`, `streamed, 30 % cached`, `needs 12.3 GB`.
  var verdict: String {
    guard let plan = model.plan else {
      return "does not fit: needs \(ByteCount.format(model.minimumBytes))"
    }
    guard plan.cachedShare < 1 else { return "all in memory" }
    return "streamed, \(ByteCount.fixed(plan.cachedShare * 100, digits: 0)) % cached"
  }

  func cells(freeDiskBytes: Int) -> [String] {
    let fits = model.storeBytes <= freeDiskBytes
    return [
      model.shape.name, ByteCount.format(model.storeBytes) + (fits ? "" : " (!)"),
      ByteCount.format(model.minimumBytes),
      prompt.map { ByteCount.significant($0) } ?? "–",
      decode.map {
        let (low, high) = (
          ByteCount.significant($0.withoutOverlap), ByteCount.significant($0.withOverlap)
        )
        return low == high ? low : "\(low)–\(high)"
      } ?? "–", verdict,
    ]
  }

  func json(freeDiskBytes: Int) -> JSONValue {
    .object([
      "model": .string(model.shape.name), "store_bytes": .integer(model.storeBytes),
      "fits_disk": .bool(model.storeBytes <= freeDiskBytes),
      "minimum_bytes": .integer(model.minimumBytes), "fits_memory": .bool(model.plan != nil),
      "cached_share": .optional(model.plan?.cachedShare),
      "active_parameters": .integer(model.activeParameters),
      "routed_bytes_per_token": .optional(model.plan?.routedBytesPerToken),
      "prompt_tokens_per_second": .optional(prompt),
      "tokens_per_second_without_overlap": .optional(decode?.withoutOverlap),
      "tokens_per_second": .optional(decode?.withOverlap),
    ])
  }
}
