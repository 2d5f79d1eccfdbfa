import CKernels
import Glibc
import Support

/// Products with experts' matrices: single rows against memory bandwidth, many against arithmetic.
struct KernelBenchmarks {
  let pool: WorkerPool
  let peaks: Peaks

  /// The gate and up matrix of one expert of Qwen3-30B-A3B.
  private static let (rows, columns) = (1536, 2048)
  /// Rows that reach memory's limit and rows that reach arithmetic's.
  private static let rowCounts = [1, 4, 16, 64, 256]
  private static let seconds = 0.4

  private struct Format {
    var name: String
    var scheme: fm_scheme
    var isInteger: Bool
  }

  private static let formats = [
    Format(name: "q4", scheme: FM_Q4, isInteger: true),
    Format(name: "q4a", scheme: FM_Q4A, isInteger: true),
    Format(name: "q8", scheme: FM_Q8, isInteger: true),
    Format(name: "bf16", scheme: FM_BF16, isInteger: false),
  ]

  func run() throws(Failure) -> [Measurement] {
    guard let kernels = fm_kernels_at(fm_best_level())?.pointee else {
      throw Failure(.unsupported, "kernels", "this processor has none")
    }
    let level = String(cString: kernels.name)
    var measurements: [Measurement] = []
    for format in Self.formats {
      let matrices = try Matrices(format.scheme, rows: Self.rows, columns: Self.columns)
      for count in Self.rowCounts {
        let seconds = secondsPerMatrix(kernels, matrices, format, rowCount: count)
        var measurement = Measurement(
          group: .kernels, name: "\(format.name) × \(count) row\(count == 1 ? "" : "s")",
          value: Double(matrices.byteCount) / seconds, unit: .bytesPerSecond,
          limit: peaks.memory, limitName: "memory read", note: level)
        if count > 4 {
          let operations = 2 * Double(Self.rows * Self.columns * count)
          measurement.value = operations / seconds
          measurement.unit = .operationsPerSecond
          measurement.limit = format.isInteger ? peaks.integer : peaks.float
          measurement.limitName = format.isInteger ? peaks.integerName : peaks.floatName
          if measurement.limit == 0 {
            measurement.limit = nil
            measurement.limitName = nil
          }
        }
        measurements.append(measurement)
      }
    }
    return measurements
  }

  /// All threads share each matrix by row blocks, as the engine's do.
  private func secondsPerMatrix(
    _ kernels: fm_kernels, _ matrices: Matrices, _ format: Format, rowCount: Int
  ) -> Double {
    let input = Input(kernels, rowCount: rowCount, columns: Self.columns)
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: rowCount * Self.rows) { buffer in
      guard let base = buffer.baseAddress else { return .infinity }
      // Threads write different rows.
      nonisolated(unsafe) let output = base
      nonisolated(unsafe) let kernels = kernels
      let blockCount = Self.rows / Int(FM_BLOCK_ROWS)
      let start = Clock.nanoseconds()
      var done = 0
      repeat {
        // More rows take longer: fewer matrices a turn, so that a turn is never long.
        let turn = max(1, 32 / rowCount)
        let first = done
        pool.run { thread in
          let blocks = pool.share(of: blockCount, for: thread)
          for index in first..<first + turn {
            var matrix = matrices[index]
            if format.isInteger {
              var activations = input.quantized
              kernels.matmul_i8(
                &matrix, blocks.lowerBound, blocks.upperBound, &activations, rowCount, output,
                Self.rows)
            } else {
              kernels.matmul_f32(
                &matrix, blocks.lowerBound, blocks.upperBound, input.values, Self.columns,
                rowCount, output, Self.rows)
            }
          }
        }
        done += turn
      } while Clock.seconds(since: start) < Self.seconds
      return Clock.seconds(since: start) / Double(done)
    }
  }
}

/// As many matrices as no cache holds; `matrices[i]` for any i.
private final class Matrices: @unchecked Sendable {
  let byteCount: Int
  private let memory: Memory
  private let count: Int
  private let shape: fm_matrix

  init(_ scheme: fm_scheme, rows: Int, columns: Int) throws(Failure) {
    let blockBytes = fm_block_bytes(scheme, columns)
    byteCount = blockBytes * (rows / Int(FM_BLOCK_ROWS))
    count = max(1, Memory.beyondCacheBytes / byteCount)
    memory = try Memory(byteCount: byteCount * count)
    var random = SystemRandomNumberGenerator()
    let values = (0..<Int(FM_BLOCK_ROWS) * columns).map { _ in
      Float.random(in: -1...1, using: &random)
    }
    // One block's bytes again and again: the work does not depend on the numbers.
    _ = fm_pack_block(
      scheme, values, columns, Int(FM_BLOCK_ROWS), columns, false, memory.base)
    for block in 1..<memory.byteCount / blockBytes {
      memcpy(memory.base + block * blockBytes, memory.base, blockBytes)
    }
    shape = fm_matrix(data: nil, rows: UInt32(rows), columns: UInt32(columns), scheme: scheme)
  }

  subscript(index: Int) -> fm_matrix {
    var matrix = shape
    let start = memory.base + index % count * byteCount
    matrix.data = UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
    return matrix
  }
}

/// Activations of some rows, as floats and quantized.
private final class Input: @unchecked Sendable {
  let values: UnsafeMutablePointer<Float>
  let quantized: fm_activations

  init(_ kernels: fm_kernels, rowCount: Int, columns: Int) {
    let padding = Int(FM_ACTIVATION_PADDING)
    let stride = (columns + padding - 1) / padding * padding
    let groups = rowCount * stride / Int(FM_ACTIVATION_GROUP)
    values = .allocate(capacity: rowCount * columns)
    for index in 0..<rowCount * columns { values[index] = Float(index % 17) - 8 }
    var quantized = fm_activations(
      values: .allocate(capacity: rowCount * stride), scales: .allocate(capacity: groups),
      sums: .allocate(capacity: groups), stride: stride)
    kernels.quantize(values, columns, columns, 0, rowCount, &quantized)
    self.quantized = quantized
  }

  deinit {
    values.deallocate()
    quantized.values.deallocate()
    quantized.scales.deallocate()
    quantized.sums.deallocate()
  }
}
