import FlashMoE
import Support

/// What a plan lets one expect of decoding: a model of bytes and bandwidths, not a measurement.
///
/// Every token reads all resident weights and its routed experts from memory, and the experts that
/// are not cached from disk.  The hit rate is assumed to be the cached share of the experts, which
/// is what evenly used experts give; real text usually hits more often.
struct SpeedEstimate {
  let hitRate: Double
  let diskBytesPerToken: Double
  let memoryBytesPerToken: Double
  let diskBytesPerSecond: Double?
  let memoryBytesPerSecond: Double?

  init(_ plan: MemoryPlan, diskBytesPerSecond: Double?, memoryBytesPerSecond: Double?) {
    hitRate = plan.cachedShare
    diskBytesPerToken = Double(plan.routedBytesPerToken) * (1 - plan.cachedShare)
    memoryBytesPerToken = Double(plan.routedBytesPerToken + plan.residentBytesPerToken)
    self.diskBytesPerSecond = diskBytesPerSecond
    self.memoryBytesPerSecond = memoryBytesPerSecond
  }

  private var diskSeconds: Double? { diskBytesPerSecond.map { diskBytesPerToken / $0 } }
  private var memorySeconds: Double? { memoryBytesPerSecond.map { memoryBytesPerToken / $0 } }

  /// Disk and memory one after the other, and both at the same time.
  var tokensPerSecond: (withoutOverlap: Double, withOverlap: Double)? {
    guard let disk = diskSeconds, let memory = memorySeconds, disk + memory > 0 else { return nil }
    return (1 / (disk + memory), 1 / max(disk, memory))
  }

  var json: JSONObject {
    [
      "assumed_hit_rate": .number(hitRate),
      "disk_bytes_per_token": .integer(Int(diskBytesPerToken)),
      "memory_bytes_per_token": .integer(Int(memoryBytesPerToken)),
      "disk_bytes_per_second": .optional(diskBytesPerSecond),
      "memory_bytes_per_second": .optional(memoryBytesPerSecond),
      "tokens_per_second_without_overlap": .optional(tokensPerSecond?.withoutOverlap),
      "tokens_per_second": .optional(tokensPerSecond?.withOverlap),
    ]
  }

  var text: String {
    func rate(_ bytes: Double?) -> String {
      bytes.map { "at \(ByteCount.format(Int($0)))/s measured" } ?? "not measured"
    }
    var table = Table(.left, .right, .left)
    table.add(
      "from disk", ByteCount.format(Int(diskBytesPerToken)),
      "experts not in the cache; \(rate(diskBytesPerSecond))")
    table.add(
      "from memory", ByteCount.format(Int(memoryBytesPerToken)),
      "residents and routed experts; \(rate(memoryBytesPerSecond))")
    var lines = ["Expected for each decoded token:", table.text()]
    if let speed = tokensPerSecond {
      lines.append(
        "  about \(ByteCount.significant(speed.withoutOverlap)) to "
          + "\(ByteCount.significant(speed.withOverlap)) tok/s (disk and memory in turn, or at once)")
    }
    lines.append(
      "  assuming \(ByteCount.fixed(hitRate * 100, digits: 1)) % hits, the cached share of the experts")
    return lines.joined(separator: "\n")
  }
}
