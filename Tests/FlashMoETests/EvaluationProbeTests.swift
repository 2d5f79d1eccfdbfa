import CKernels
import FlashMoE
import Support
import TestSupport
import Testing
import WeightStore

/// Probes measure this machine, so only what holds on any machine is asked.
@Suite struct EvaluationProbeTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory("probe") }

  private func write(_ bytes: Int, _ name: String) throws -> String {
    try directory.write([UInt8](repeating: 7, count: bytes), to: name)
  }

  @Test func readsAnExistingFile() throws {
    let path = try write(3 << 20, "data")
    let measured = try DiskProbe.measure(path: path, seconds: 0.05)
    #expect(measured.bytesPerSecond > 0)
    #expect(measured.note?.contains("only 3.15 MB") == true)
    #expect(!measured.backend.isEmpty)
  }

  @Test(arguments: [ReadBackendKind.uring, .pread]) func bothWaysCountTheSame(
    backend: ReadBackendKind
  ) throws {
    let path = try write(40_000, "data")
    let probe = ReadProbe(blockBytes: 8192, depth: 3, seconds: 0, backend: backend)
    let result = try probe.run([path, try write(9000, "more")])
    // No time: what is queued first is all, whole blocks of it.
    #expect(result.bytes == 3 * 8192)
    #expect(result.coveredBytes == 5 * 8192)
    #expect(result.backend == (backend == .uring ? "io_uring" : "pread threads"))
  }

  @Test func smallFilesShrinkTheBlock() throws {
    let result = try ReadProbe(blockBytes: 512 << 10, depth: 4, seconds: 0.01).run(
      [try write(10_000, "small")])
    #expect(result.blockBytes == 8192 && result.bytes > 0 && result.bytes % 8192 == 0)
    let note = try DiskProbe.measure(path: directory.file("small"), seconds: 0.01).note
    #expect(note?.contains("in blocks of 8.19 KB") == true)
  }

  @Test func staysInsideTheMemoryThereIs() {
    for free in [1 << 20, 3_000_000, 8 << 20, 9_999_999, 20 << 20, 1 << 30] {
      let shape = DiskProbe.shape(freeBytes: free)
      #expect(shape.blockBytes * shape.depth <= free)
      #expect(shape.depth >= 16 && shape.depth <= 64 && shape.blockBytes >= 4096)
    }
    #expect(DiskProbe.shape(freeBytes: 1 << 30) == (512 << 10, 64))
  }

  @Test func refusesWhatCannotBeMeasured() throws {
    #expect { try DiskProbe.measure(path: directory.file("absent")) } throws: {
      ($0 as? Failure)?.kind == .notFound
    }
    let tiny = try write(4095, "tiny")
    #expect { try DiskProbe.measure(path: tiny) } throws: { ($0 as? Failure)?.kind == .usage }
    // A directory that is no store.
    #expect(throws: Failure.self) { try DiskProbe.measure(path: directory.path) }
  }

  @Test func memoryIsReadByEveryThread() throws {
    for threads in [1, 3] {
      #expect(
        try MemoryProbe.measure(threads: threads, seconds: 0.01, budgetBytes: 8 << 20) > 0)
    }
    // Fewer slices than threads: every thread still gets one.
    #expect(try MemoryProbe.measure(threads: 5, seconds: 0, budgetBytes: 1) > 0)
  }

  @Test func everyLevelReadsAllBytes() {
    var random = SeededRandom(seed: 11)
    let words = (0..<512).map { _ in UInt64.random(in: .min ... .max, using: &random) }
    words.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      for length in [0, 255, 256, 512, 3000, 4096] {
        let expected = words.prefix(length / 256 * 32).reduce(0, ^)
        for level in [FM_PORTABLE, FM_AVX2, FM_AVX512VNNI, FM_AMX] {
          #expect(fm_probe_read_at(level, base, length) == expected)
        }
      }
    }
  }
}
