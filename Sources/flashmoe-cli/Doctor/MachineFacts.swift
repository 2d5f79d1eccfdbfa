import FlashMoE
import Support

/// What this machine has and, where probes ran, what it does.
struct MachineFacts {
  var processor: String
  var threads: Int
  var kernelLevels: [KernelLevel]
  var memoryBytes: Int
  var availableBytes: Int
  var folder: String
  var freeDiskBytes: Int
  var measured: Measured?

  struct Measured {
    var memoryBytesPerSecond: Double
    var operationsPerSecond: Double
    /// nil where the folder cannot be tried; `diskProblem` says why.
    var disk: DiskTrial?
    var diskProblem: String?
  }

  /// - Throws: `Failure` for a folder that is not there.
  init(folder: String, threads: Int) throws(Failure) {
    guard FileSystem.isDirectory(folder) else {
      throw Failure(
        .notFound, folder, "no such folder", remedy: "Name the folder that models will lie in")
    }
    processor = MachineProbe.processorName ?? "unknown processor"
    self.threads = threads
    kernelLevels = MachineProbe.kernelLevels
    memoryBytes = MachineProbe.memoryBytes
    availableBytes = ProcessMemory.availableBytes()
    self.folder = folder
    freeDiskBytes = try FileSystem.freeBytes(at: folder)
  }

  /// Two to three seconds of disk, memory and arithmetic.
  mutating func measure(budgetBytes: Int) throws(Failure) {
    let memory = try MemoryProbe.measure(threads: threads, budgetBytes: budgetBytes)
    let operations = try ArithmeticProbe.measure(threads: threads)
    var result = Measured(memoryBytesPerSecond: memory, operationsPerSecond: operations)
    do throws(Failure) {
      result.disk = try DiskTrial.run(folder: folder, memoryBytes: budgetBytes)
    } catch {
      // A disk that cannot be tried still leaves the rest to be told.
      result.diskProblem = error.problem
    }
    measured = result
  }

  var matrixEngine: String {
    kernelLevels.contains(.amx) ? "AMX tiles" : "none (no AMX)"
  }

  var json: JSONObject {
    var json: JSONObject = [
      "processor": .string(processor), "threads": .integer(threads),
      "kernels": .array(kernelLevels.map { .string($0.rawValue) }),
      "amx": .bool(kernelLevels.contains(.amx)),
      "memory_bytes": .integer(memoryBytes), "available_bytes": .integer(availableBytes),
      "folder": .string(folder), "free_disk_bytes": .integer(freeDiskBytes),
    ]
    if let measured {
      json["memory_bytes_per_second"] = .number(measured.memoryBytesPerSecond)
      json["int8_operations_per_second"] = .number(measured.operationsPerSecond)
      json["disk"] =
        measured.disk.map { disk in
          .object([
            "read_bytes_per_second": .number(disk.reading.bytesPerSecond),
            "write_bytes_per_second": .number(disk.writtenBytesPerSecond),
            "io_uring": .bool(disk.reading.backend == "io_uring"),
            "direct": .bool(disk.reading.direct), "note": .optional(disk.reading.note),
          ])
        } ?? .null
      json["disk_problem"] = .optional(measured.diskProblem)
    }
    return json
  }

  var table: Table {
    var table = Table(.left, .left)
    let levels = kernelLevels.last.map { "\($0.rawValue) kernels" } ?? "no kernels"
    table.add("processor", "\(processor), \(threads) threads, \(levels)")
    table.add("matrix engine", matrixEngine)
    var memory = "\(ByteCount.format(memoryBytes)), \(ByteCount.format(availableBytes)) available"
    if let measured { memory += "; reads \(Self.rate(measured.memoryBytesPerSecond))" }
    table.add("memory", memory)
    if let measured {
      let tera = ByteCount.significant(measured.operationsPerSecond / 1e12)
      table.add("arithmetic", "\(tera) int8 TOPS in 4-bit products of many rows")
    }
    var disk = "\(folder): \(ByteCount.format(freeDiskBytes)) free"
    if let trial = measured?.disk {
      disk +=
        "; reads \(Self.rate(trial.reading.bytesPerSecond)), writes "
        + Self.rate(trial.writtenBytesPerSecond)
    }
    table.add("disk", disk)
    if let trial = measured?.disk {
      table.add(
        "reads by",
        "\(trial.reading.backend), \(trial.reading.direct ? "O_DIRECT" : "page cache")"
          + (trial.reading.note.map { "; \($0)" } ?? ""))
    } else if let problem = measured?.diskProblem {
      table.add("disk not tried", problem)
    }
    return table
  }

  private static func rate(_ bytes: Double) -> String { "\(ByteCount.format(Int(bytes)))/s" }
}
