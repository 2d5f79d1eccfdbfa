import CKernels
import Support
import Synchronization

/// How much of a prompt's arithmetic these threads do: products of many rows with 4-bit weights,
/// unpacking and scales included.
public enum ArithmeticProbe {
  private static let (rows, columns, tokens) = (256, 2048, 256)

  /// - Parameter seconds: how long to compute.
  /// - Returns: operations a second of all threads together, two a multiply-add.
  /// - Throws: `Failure` when threads or memory cannot be had.
  public static func measure(
    threads: Int = EngineOptions.processorCount, seconds: Double = 0.3
  ) throws(Failure) -> Double {
    let kernels = try Kernels(level: nil)
    let pool = try WorkerPool(threadCount: min(max(threads, 1), 1024))
    var counter = ArenaCutter()
    _ = Work(&counter)
    let shareBytes = alignUpToPage(counter.usedBytes)
    let arena = try Arena(byteCount: shareBytes * pool.threadCount)
    let base = arena.base
    let total = Atomic<Int>(0)
    let start = Clock.nanoseconds()
    let end = start + UInt64(max(seconds, 0) * 1e9)
    // Each thread multiplies by a matrix of its own, which its cache holds.
    pool.run { thread in
      var cutter = ArenaCutter(base: base + thread * shareBytes)
      let work = Work(&cutter)
      work.fill()
      var products = 0
      repeat {
        work.multiply(kernels)
        products += 1
      } while Clock.nanoseconds() < end
      total.wrappingAdd(products, ordering: .relaxed)
    }
    let elapsed = Clock.seconds(since: start)
    let operations = 2 * Double(rows * columns * tokens) * Double(total.load(ordering: .relaxed))
    return elapsed > 0 ? operations / elapsed : 0
  }

  /// One thread's matrix, activations and results.
  private struct Work {
    let weights: UnsafeMutablePointer<UInt8>
    let input: fm_activations
    let output: UnsafeMutablePointer<Float>

    private static var weightBytes: Int {
      fm_block_bytes(FM_Q4, columns) * (rows / Int(FM_BLOCK_ROWS))
    }
    private static var stride: Int { Activations.quantizedStride(columns) }
    private static var groups: Int { tokens * stride / Int(FM_ACTIVATION_GROUP) }

    init(_ cutter: inout ArenaCutter) {
      weights = cutter.take(UInt8.self, count: Self.weightBytes)
      input = fm_activations(
        values: cutter.take(Int8.self, count: tokens * Self.stride),
        scales: cutter.take(Float.self, count: Self.groups),
        sums: cutter.take(Int32.self, count: Self.groups), stride: Self.stride)
      output = cutter.take(Float.self, count: tokens * rows)
    }

    /// Plain numbers: the time does not depend on them.
    func fill() {
      weights.initialize(repeating: 0x11, count: Self.weightBytes)
      input.values.initialize(repeating: 1, count: tokens * Self.stride)
      input.scales.initialize(repeating: 1, count: Self.groups)
      input.sums.initialize(repeating: Int32(FM_ACTIVATION_GROUP), count: Self.groups)
    }

    func multiply(_ kernels: Kernels) {
      let matrix = fm_matrix(
        data: UnsafePointer(weights), rows: UInt32(rows), columns: UInt32(columns), scheme: FM_Q4)
      withUnsafePointer(to: matrix) { matrix in
        withUnsafePointer(to: input) { input in
          kernels.table.pointee.matmul_i8(
            matrix, 0, rows / Int(FM_BLOCK_ROWS), input, tokens, output, rows)
        }
      }
    }
  }
}
