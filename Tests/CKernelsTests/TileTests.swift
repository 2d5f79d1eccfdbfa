import CKernels
import Testing

/// Products in AMX tiles have the bits of products in vectors, whoever executes the tiles.
@Suite struct TileTests {
  typealias Product = (
    UnsafePointer<fm_matrix>, Int, Int, UnsafePointer<fm_activations>, Int,
    UnsafeMutablePointer<Float>, Int
  ) -> Void

  /// Odd rows and columns, and more columns than are unpacked at a time (1024).
  static let shapes = [(16, 64), (5, 31), (33, 129), (70, 992), (24, 1024), (33, 1056), (17, 2100)]

  /// Both functions on the same random matrix and tokens, with gaps between rows kept.
  private func compare(
    _ level: Level, _ scheme: Scheme, seed: UInt64, _ vectors: Product, _ tiles: Product
  ) {
    var random = Random(seed + UInt64(scheme.rawValue))
    for (rows, columns) in Self.shapes {
      let w = PackedMatrix(scheme, rows: rows, columns: columns, random: &random)
      for tokens in [1, 31, 32, 33, random.int(34...47), 48, random.int(49...80)] {
        let x = Guarded(random.normals(tokens * columns))
        let a = Activations(x, tokens: tokens, columns: columns, level: level)
        let ldy = rows + random.int(0...5)
        let first = random.int(0...w.blocks - 1)
        var (matrix, activations) = (w.matrix, a.pointers())
        let expected = Guarded(tokens * ldy, filledWith: canary)
        let got = Guarded(tokens * ldy, filledWith: canary)
        vectors(&matrix, first, w.blocks, &activations, tokens, expected.pointer, ldy)
        tiles(&matrix, first, w.blocks, &activations, tokens, got.pointer, ldy)
        #expect(
          bits(got.array) == bits(expected.array), "\(scheme) \(rows)x\(columns) \(tokens) tokens")
      }
    }
  }

  @Test(arguments: Level.available, Scheme.quantized)
  func emulatedTilesKeepEveryBit(level: Level, scheme: Scheme) {
    compare(level, scheme, seed: 300, level.kernels.matmul_i8) {
      #expect(fm_emulate_tiles_at(level.value, $0, $1, $2, $3, $4, $5, $6))
    }
  }

  @Test(
    .enabled(if: Level.available.contains(.amx), "skipped: no AMX here"),
    arguments: Scheme.quantized)
  func tilesKeepEveryBit(scheme: Scheme) {
    compare(
      .amx, scheme, seed: 400, Level.avx512.kernels.matmul_i8, Level.amx.kernels.matmul_i8)
  }

  /// The greatest sums there are, through tiles.
  @Test(arguments: Level.available)
  func extremesStayExact(level: Level) {
    let (columns, tokens) = (96, 32)
    for (code, scheme) in [
      (UInt8(0), Scheme.q8), (255, .q8), (0x00, .q4), (0xFF, .q4), (0x77, .mxfp4), (0xFF, .mxfp4),
      (0x00, .q3), (0xFF, .q3), (0x00, .q2), (0xFF, .q2),
    ] {
      for activation in [Int8(127), -127] {
        let bytes = Guarded(fm_block_bytes(scheme.value, columns), filledWith: code)
        bytes.setScalesToOne(scheme, groups: columns / 32)
        var matrix = fm_matrix(
          data: UnsafePointer(bytes.pointer), rows: 16, columns: UInt32(columns),
          scheme: scheme.value)
        let a = Activations(tokens: tokens, columns: columns)
        for index in 0..<a.values.count { a.values[index] = activation }
        for index in 0..<a.scales.count {
          a.scales[index] = 1
          a.sums[index] = 32 * Int32(activation)
        }
        var activations = a.pointers()
        let y = Guarded(tokens * 16, filledWith: canary)
        _ = fm_emulate_tiles_at(level.value, &matrix, 0, 1, &activations, tokens, y.pointer, 16)
        let weight = scheme.weight(ofCode: code)
        let expected = Float(weight * Int(activation) * columns)
        #expect(y.array.allSatisfy { $0 == expected }, "\(scheme) \(code) \(activation)")
      }
    }
  }

  @Test func aMissingLevelIsRefused() {
    let (matrix, activations) = (fm_matrix(), fm_activations())
    withUnsafePointer(to: matrix) { matrix in
      withUnsafePointer(to: activations) { activations in
        var y: Float = 1
        #expect(
          !fm_emulate_tiles_at(fm_level(rawValue: 77), matrix, 0, 1, activations, 32, &y, 16))
        #expect(y == 1)
      }
    }
  }
}
