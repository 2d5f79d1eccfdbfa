import CKernels
import Support
import WeightStore

/// The kernel table in use, copied into a value so that hot loops call through registers.
struct Kernels: Sendable {
  nonisolated(unsafe) let table: UnsafePointer<fm_kernels>

  /// The best table of this processor, or the one asked for.
  ///
  /// - Throws: `Failure(.unsupported)` when the processor lacks the level.
  init(level: KernelLevel?) throws(Failure) {
    let wanted = level?.kernelLevel ?? fm_best_level()
    guard let table = fm_kernels_at(wanted) else {
      throw Failure(
        .unsupported, "--kernels", "this processor has no \(level?.rawValue ?? "usable") level",
        remedy: "Leave the option out to use the best there is")
    }
    self.table = table
  }

  var name: String { String(cString: table.pointee.name) }
}

/// Instruction-set levels by the names users give.
public enum KernelLevel: String, Sendable, CaseIterable {
  case portable, avx2
  case avx512 = "avx512-vnni"
  case amx

  var kernelLevel: fm_level {
    switch self {
    case .portable: FM_PORTABLE
    case .avx2: FM_AVX2
    case .avx512: FM_AVX512VNNI
    case .amx: FM_AMX
    }
  }
}

/// A blocked matrix somewhere in memory and how to multiply by it.
struct Matrix {
  var kernel: fm_matrix
  /// Whether int8 activations are used; otherwise f32.
  var usesInt8: Bool
  var blockCount: Int

  init(_ layout: MatrixLayout, at address: UnsafeRawPointer, int8Activations: Bool) {
    kernel = fm_matrix(
      data: address.assumingMemoryBound(to: UInt8.self), rows: UInt32(layout.rows),
      columns: UInt32(layout.columns), scheme: layout.scheme.kernelScheme)
    usesInt8 = int8Activations && layout.scheme.isQuantized
    blockCount = layout.blockCount
  }

  var rows: Int { Int(kernel.rows) }
  var columns: Int { Int(kernel.columns) }
}

/// Activations of a few rows, in f32 and, where a matrix wants them, in int8.
struct Activations {
  /// [rows][stride] f32.
  var values: UnsafeMutablePointer<Float>
  var stride: Int
  var quantized: fm_activations

  static func quantizedStride(_ columns: Int) -> Int {
    (columns + Int(FM_ACTIVATION_PADDING) - 1) / Int(FM_ACTIVATION_PADDING)
      * Int(FM_ACTIVATION_PADDING)
  }
}

extension Kernels {
  /// output[t][r] for `rows` tokens and this thread's share of the blocks.
  @inline(__always)
  func multiply(
    _ matrix: Matrix, blocks: Range<Int>, _ input: Activations, rows: Int,
    output: UnsafeMutablePointer<Float>, outputStride: Int
  ) {
    guard !blocks.isEmpty else { return }
    withUnsafePointer(to: matrix.kernel) { kernel in
      if matrix.usesInt8 {
        withUnsafePointer(to: input.quantized) { quantized in
          table.pointee.matmul_i8(
            kernel, blocks.lowerBound, blocks.upperBound, quantized, rows, output, outputStride)
        }
      } else {
        table.pointee.matmul_f32(
          kernel, blocks.lowerBound, blocks.upperBound, input.values, input.stride, rows, output,
          outputStride)
      }
    }
  }

  /// Writes the int8 form of rows `range` of the f32 values.
  @inline(__always)
  func quantize(_ activations: Activations, columns: Int, rows range: Range<Int>) {
    guard !range.isEmpty else { return }
    withUnsafePointer(to: activations.quantized) {
      table.pointee.quantize(
        activations.values, activations.stride, columns, range.lowerBound, range.upperBound, $0)
    }
  }
}
