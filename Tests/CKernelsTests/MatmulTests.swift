import CKernels
import Testing

/// Products against double precision, untouched surroundings, and the promise that splitting
/// work never changes a bit.
@Suite struct MatmulTests {
  static let shapes = [
    (1, 1), (16, 32), (17, 33), (5, 7), (40, 64), (70, 129), (130, 96), (33, 31),
  ]

  @Test(arguments: Level.available, Scheme.allCases)
  func floatActivations(level: Level, scheme: Scheme) {
    var random = Random(1 + UInt64(scheme.rawValue))
    for (rows, columns) in Self.shapes {
      let tokens = random.int(1...19)
      let w = PackedMatrix(scheme, rows: rows, columns: columns, random: &random)
      let x = Guarded(random.normals(tokens * columns))
      let ldy = rows + random.int(0...5)
      let y = Guarded(tokens * ldy, filledWith: canary)
      var matrix = w.matrix
      level.kernels.matmul_f32(&matrix, 0, w.blocks, x.pointer, columns, tokens, y.pointer, ldy)
      for t in 0..<tokens {
        for r in 0..<ldy {
          guard r < rows else {
            #expect(y[t * ldy + r].bitPattern == canary.bitPattern)
            continue
          }
          var sum = 0.0, magnitude = 0.0
          for k in 0..<columns {
            let product = Double(w.values[r * columns + k]) * Double(x[t * columns + k])
            sum += product
            magnitude += abs(product)
          }
          let bound = 1e-30 + magnitude * 6e-8 * (3 + Double(columns).squareRoot())
          let difference = abs(Double(y[t * ldy + r]) - sum)
          #expect(difference <= bound, "\(scheme) \(rows)x\(columns) token \(t) row \(r)")
        }
      }
    }
  }

  @Test(arguments: Level.available, Scheme.quantized)
  func integerActivations(level: Level, scheme: Scheme) {
    var random = Random(100 + UInt64(scheme.rawValue))
    for (rows, columns) in Self.shapes {
      let tokens = random.int(1...19)
      let w = PackedMatrix(scheme, rows: rows, columns: columns, random: &random)
      let x = Guarded(random.normals(tokens * columns))
      let a = Activations(x, tokens: tokens, columns: columns, level: level)
      let ldy = rows + random.int(0...5)
      let y = Guarded(tokens * ldy, filledWith: canary)
      var matrix = w.matrix
      var activations = a.pointers()
      level.kernels.matmul_i8(&matrix, 0, w.blocks, &activations, tokens, y.pointer, ldy)
      for t in 0..<tokens {
        for r in 0..<ldy {
          guard r < rows else {
            #expect(y[t * ldy + r].bitPattern == canary.bitPattern)
            continue
          }
          var sum = 0.0, magnitude = 0.0
          for k in 0..<columns {
            let scale = Double(a.scales[(t * a.stride + k) / 32])
            let product =
              Double(w.values[r * columns + k]) * Double(a.values[t * a.stride + k]) * scale
            sum += product
            magnitude += abs(product)
          }
          // q4a's dot and bias parts may cancel, so the bound follows the parts.
          let bound = 1e-30 + magnitude * 6e-8 * (scheme == .q4a ? 40 : 8)
          let difference = abs(Double(y[t * ldy + r]) - sum)
          #expect(difference <= bound, "\(scheme) \(rows)x\(columns) token \(t) row \(r)")
        }
      }
    }
  }

  /// The most extreme bytes there are: nothing may saturate.
  @Test(arguments: Level.available)
  func extremesStayExact(level: Level) {
    let columns = 256
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
        let a = Activations(tokens: 1, columns: columns)
        for k in 0..<columns { a.values[k] = activation }
        for g in 0..<columns / 32 {
          a.scales[g] = 1
          a.sums[g] = 32 * Int32(activation)
        }
        var activations = a.pointers()
        let y = Guarded(16, filledWith: canary)
        level.kernels.matmul_i8(&matrix, 0, 1, &activations, 1, y.pointer, 16)
        let weight = scheme.weight(ofCode: code)
        let expected = Float(weight * Int(activation) * columns)
        #expect(y.array.allSatisfy { $0 == expected }, "\(scheme) \(code) \(activation)")
      }
    }
  }

  /// Any number of tokens, any split of the blocks: the same bits as one token, one block.
  @Test(arguments: Level.available, Scheme.allCases)
  func splittingNeverChangesABit(level: Level, scheme: Scheme) {
    var random = Random(200 + UInt64(scheme.rawValue))
    let most = 40
    for (rows, columns) in [(150, 129), (64, 256), (33, 70)] {
      let w = PackedMatrix(scheme, rows: rows, columns: columns, random: &random)
      let x = Guarded(random.normals(most * columns))
      let a = Activations(x, tokens: most, columns: columns, level: level)
      let quantized = Scheme.quantized.contains(scheme)
      var matrix = w.matrix

      func run(integer: Bool, from: Int, to: Int, token: Int, tokens: Int, into y: Guarded<Float>) {
        let target = y.pointer + token * rows
        if integer {
          var activations = a.pointers(token: token)
          level.kernels.matmul_i8(&matrix, from, to, &activations, tokens, target, rows)
        } else {
          level.kernels.matmul_f32(
            &matrix, from, to, x.pointer + token * columns, columns, tokens, target, rows)
        }
      }

      for integer in quantized ? [false, true] : [false] {
        let reference = Guarded(most * rows, filledWith: canary)
        for t in 0..<most {
          for block in 0..<w.blocks {
            run(integer: integer, from: block, to: block + 1, token: t, tokens: 1, into: reference)
          }
        }
        let expected = bits(reference.array)
        for m in 1...most {
          let y = Guarded(most * rows, filledWith: canary)
          var token = 0
          while token < most {
            let tokens = min(m, most - token)
            var block = 0
            while block < w.blocks {
              let end = min(w.blocks, block + random.int(1...w.blocks))
              run(
                integer: integer, from: block, to: end, token: token, tokens: tokens, into: y)
              block = end
            }
            token += tokens
          }
          #expect(bits(y.array) == expected, "\(scheme) \(rows)x\(columns) m=\(m) i8=\(integer)")
        }
      }
    }
  }

  /// Rows so long that many tokens' activations are packed in several rounds, or not at all.
  @Test(arguments: Level.available, Scheme.quantized)
  func longRowsKeepTheirBits(level: Level, scheme: Scheme) {
    var random = Random(250 + UInt64(scheme.rawValue))
    for (rows, columns, tokens) in [
      (48, 2100, 59), (33, 2048, 25), (70, 96, 203), (32, 13_200, 18),
    ] {
      let w = PackedMatrix(scheme, rows: rows, columns: columns, random: &random)
      let x = Guarded(random.normals(tokens * columns))
      let a = Activations(x, tokens: tokens, columns: columns, level: level)
      var matrix = w.matrix
      let expected = Guarded(tokens * rows, filledWith: canary)
      for token in 0..<tokens {
        var one = a.pointers(token: token)
        level.kernels.matmul_i8(
          &matrix, 0, w.blocks, &one, 1, expected.pointer + token * rows, rows)
      }
      let y = Guarded(tokens * rows, filledWith: canary)
      var all = a.pointers()
      level.kernels.matmul_i8(&matrix, 0, w.blocks, &all, tokens, y.pointer, rows)
      #expect(bits(y.array) == bits(expected.array), "\(scheme) \(rows)x\(columns) \(tokens)")
    }
  }
}
