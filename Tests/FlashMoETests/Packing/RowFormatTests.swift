import CKernels
import Checkpoints
import Support
import TestSupport
import Testing
import WeightStore

@testable import FlashMoE

/// GGML's blocks against what the `gguf` Python package makes of them
/// (`Tests/Fixtures/make_formats.py`): random ones, and scales that are zero, subnormal, infinite or
/// not numbers.
@Suite struct RowFormatTests {
  private static let formats: [(String, fm_row_format)] = [
    ("q4_0", FM_ROW_Q4_0), ("q4_1", FM_ROW_Q4_1), ("q5_0", FM_ROW_Q5_0), ("q5_1", FM_ROW_Q5_1),
    ("q8_0", FM_ROW_Q8_0), ("q2_k", FM_ROW_Q2_K), ("q3_k", FM_ROW_Q3_K), ("q4_k", FM_ROW_Q4_K),
    ("q5_k", FM_ROW_Q5_K), ("q6_k", FM_ROW_Q6_K), ("iq4_nl", FM_ROW_IQ4_NL),
    ("iq4_xs", FM_ROW_IQ4_XS), ("mxfp4", FM_ROW_MXFP4),
  ]

  private func bytes(_ checkpoint: Checkpoint, _ name: String) throws -> [UInt8] {
    let tensor = try #require(checkpoint.tensors[name])
    var bytes = [UInt8](repeating: 0, count: tensor.byteCount)
    try bytes.withUnsafeMutableBytes {
      try checkpoint.read(tensor, bytes: 0..<tensor.byteCount, into: $0)
    }
    return bytes
  }

  @Test func unpackedFloatsHaveTheReferencesBits() throws {
    let checkpoint = try Checkpoint.open(Fixtures.path("formats/gguf"))
    for (name, format) in Self.formats {
      let blocks = try bytes(checkpoint, name + ".blocks")
      let expected = try bytes(checkpoint, name + ".values").withUnsafeBytes {
        Array($0.bindMemory(to: Float.self))
      }
      let columns = fm_row_block_columns(format)
      let count = blocks.count / fm_row_block_bytes(format)
      #expect(blocks.count % fm_row_block_bytes(format) == 0)
      #expect(expected.count == count * columns)
      // All blocks as one row, so that one block's start is the other's end.
      var values = [Float](repeating: 0, count: count * columns)
      fm_unpack_format(format, blocks, values.count, &values)
      let wrong = values.indices.filter {
        values[$0].bitPattern != expected[$0].bitPattern
          && !(values[$0].isNaN && expected[$0].isNaN)
      }
      let first = wrong.first.map { "column \($0): \(values[$0]) for \(expected[$0])" } ?? ""
      #expect(wrong.isEmpty, "\(name): \(wrong.count) of \(values.count), \(first)")
      let isNumber = expected.filter(\.isFinite).count
      #expect(isNumber > expected.count / 2)
    }
  }

  /// The reader, the packer and the kernels agree on block sizes.
  @Test func sizesAgree() {
    for (name, format) in Self.formats {
      let element = ElementType(rawValue: name)
      let source = SourceFormat(rawValue: name)
      #expect(element?.blockElements == fm_row_block_columns(format))
      #expect(element?.blockBytes == fm_row_block_bytes(format))
      #expect(source?.blockColumns == fm_row_block_columns(format))
      #expect(
        source?.rowBytes(columns: 512) == 512 / fm_row_block_columns(format)
          * fm_row_block_bytes(format))
    }
  }
}
