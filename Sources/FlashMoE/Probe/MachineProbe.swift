import CKernels
import Support

/// What the machine has, as the kernel tells it.
public enum MachineProbe {
  /// "AMD EPYC 9B45"; nil where the processor does not say.
  public static var processorName: String? {
    guard let text = readSmallFile("/proc/cpuinfo") else { return nil }
    for line in text.split(separator: "\n") where line.hasPrefix("model name") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      return String(line[line.index(after: colon)...].drop { $0 == " " })
    }
    return nil
  }

  /// All memory of the machine, used or not.
  public static var memoryBytes: Int { ProcessMemory.field("/proc/meminfo", "MemTotal") ?? 0 }

  /// Instruction sets with kernels of their own that this processor has, the best last.
  public static var kernelLevels: [KernelLevel] {
    KernelLevel.allCases.filter { fm_kernels_at($0.kernelLevel) != nil }
  }
}
