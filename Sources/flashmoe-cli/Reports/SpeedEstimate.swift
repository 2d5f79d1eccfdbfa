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
  let disk: DiskMeasurement?
  let memoryBytesPerSecond: Double?

  init(_ plan: MemoryPlan, disk: DiskMeasurement?, memoryBytesPerSecond: Double?) {
    hitRate = plan.cachedShare
    diskBytesPerToken = Double(plan.routedBytesPerToken) * (1 - plan.cachedShare)
    memoryBytesPerToken = Double(plan.routedBytesPerToken + plan.residentBytesPerToken)
    self.disk = disk
    self.memoryBytesPerSecond = memoryBytesPerSecond
  }

  private var diskBytesPerSecond: Double? { disk?.bytesPerSecond }
  private var diskSeconds: Double? { diskBytesPerSecond.map { diskBytesPerToken / max($0, 1) } }
  private var memorySeconds: Double? {
    memoryBytesPerSecond.map { memoryBytesPerToken / max($0, 1) }
  }

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
      "disk_backend": .optional(disk?.backend),
      "disk_direct": disk.map { .bool($0.direct) } ?? .null,
      "disk_note": .optional(disk?.note),
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
        "  these bandwidths allow \(ByteCount.significant(speed.withoutOverlap)) to "
          + "\(ByteCount.significant(speed.withOverlap)) tok/s (in turn, or at once)")
      lines.append("  computing comes on top where it is slower than memory: small models")
    }
    if let note = disk?.note { lines.append("  disk probe: \(note)") }
    lines.append(
      "  assuming \(ByteCount.fixed(hitRate * 100, digits: 1)) % hits, the cached share of the experts"
    )
    return lines.joined(separator: "\n")
  }
}
