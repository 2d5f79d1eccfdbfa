import CKernels
import Testing

@Suite struct PackingTests {
  @Test(arguments: Scheme.allCases)
  func sizesAreWholeLines(scheme: Scheme) {
    for columns in 1...300 {
      let padded = fm_padded_columns(scheme.value, columns)
      #expect(padded >= columns && fm_block_bytes(scheme.value, columns) % 64 == 0)
    }
    // Scales included.
    let bits = [32.0, 16, 16, 8.5, 4.5, 4.5, 4.25, 3.5, 2.5]
    let size = Double(fm_block_bytes(scheme.value, 2048)) * 8 / (16 * 2048)
    #expect(size == bits[Int(scheme.rawValue)])
  }

  @Test(arguments: Scheme.allCases)
  func errorIsWhatUnpackingShows(scheme: Scheme) {
    var random = Random(7)
    for (rows, columns) in [(1, 1), (16, 64), (19, 77), (32, 129)] {
      for search in [false, true] {
        let w = PackedMatrix(
          scheme, rows: rows, columns: columns, source: random.normals(rows * columns),
          search: search)
        var error = 0.0, power = 0.0, greatest: Float = 0
        for (value, source) in zip(w.values, w.source) {
          greatest = max(greatest, abs(value - source))
          error += Double(value - source) * Double(value - source)
          power += Double(source) * Double(source)
        }
        #expect(abs(error - w.squaredError) <= 1e-5 * error + 1e-12 * power)
        #expect(abs(greatest - w.greatestError) <= 1e-5 * greatest)
        let worst = [0, 3e-7, 2e-5, 1e-4, 0.02, 0.02, 0.03, 0.08, 0.4][Int(scheme.rawValue)]
        #expect(error <= worst * power, "\(scheme) \(rows)x\(columns): \(error / power)")
        for row in 0..<rows {
          var matrix = w.matrix
          let out = Guarded(columns, filledWith: canary)
          fm_unpack_row(&matrix, row, out.pointer)
          #expect(bits(out.array) == bits(Array(w.values[row * columns..<(row + 1) * columns])))
        }
      }
    }
  }

  /// What a 16-bit scheme holds comes back exactly; what it does not is rounded to nearest even.
  @Test func halvesRoundTrip() {
    for (scheme, infinity) in [(Scheme.f16, UInt16(0x7C00)), (.bf16, 0x7F80)] {
      var words: [UInt16] = []
      for word in UInt16.min...UInt16.max where word & infinity != infinity { words.append(word) }
      let input = Guarded(words)
      let wide = Guarded(words.count, filledWith: canary)
      if scheme == .f16 {
        fm_widen_f16(input.pointer, words.count, wide.pointer)
        for (word, value) in zip(words, wide.array) {
          #expect(value.bitPattern == Float(Float16(bitPattern: word)).bitPattern)
        }
      } else {
        fm_widen_bf16(input.pointer, words.count, wide.pointer)
        for (word, value) in zip(words, wide.array) {
          #expect(value.bitPattern == UInt32(word) << 16)
        }
      }
      let columns = words.count / 16
      let w = PackedMatrix(scheme, rows: 16, columns: columns, source: wide.array)
      #expect(w.squaredError == 0)
      #expect(bits(w.values) == bits(wide.array))
    }
    var random = Random(8)
    let values =
      (0..<4096).map { _ in
        Float(bitPattern: UInt32(truncatingIfNeeded: random.next()) & 0xBFFF_FFFF)
      } + (0..<4096).map { _ in random.normal() * 1e-6 } + [65519, 65504, 2.98e-8, 2.99e-8, 6e-8]
    let w = PackedMatrix(.f16, rows: 1, columns: values.count, source: values)
    for (got, value) in zip(w.values, values) {
      #expect(got.bitPattern == Float(Float16(value)).bitPattern, "\(value)")
    }
    let b = PackedMatrix(
      .bf16, rows: 1, columns: 4,
      source: [0x3F80_8000, 0x3F81_8000, 0x3F80_8001, 0x3F80_7FFF].map(Float.init(bitPattern:)))
    #expect(b.values.map(\.bitPattern) == [0x3F80_0000, 0x3F82_0000, 0x3F81_0000, 0x3F80_0000])
  }

  @Test(arguments: Scheme.quantized)
  func searchIsNeverWorseThanPlain(scheme: Scheme) {
    var random = Random(9)
    var plainSum = 0.0, searchSum = 0.0
    for trial in 0..<60 {
      let columns = random.int(1...200)
      var source = random.normals(16 * columns, deviation: trial % 3 == 0 ? 1e-6 : 0.1)
      if trial % 4 == 1 { for i in source.indices where i % 37 == 0 { source[i] *= 20 } }
      if trial % 5 == 2 { for i in source.indices { source[i] = abs(source[i]) + 1 } }
      let plain = PackedMatrix(scheme, rows: 16, columns: columns, source: source)
      let search = PackedMatrix(scheme, rows: 16, columns: columns, source: source, search: true)
      #expect(search.squaredError <= plain.squaredError, "trial \(trial)")
      if trial % 3 != 0 {
        plainSum += plain.squaredError
        searchSum += search.squaredError
      }
    }
    #expect(
      searchSum < plainSum * (scheme == .q8 || scheme == .mxfp4 ? 0.99 : 0.92),
      "\(searchSum / plainSum)")
  }

  /// Values that lie on a 4-bit grid come back exactly, as an import of quantized weights needs.
  @Test func gridsAreFound() {
    var random = Random(10)
    let columns = 128
    var symmetric = [Float](), affine = [Float]()
    for _ in 0..<16 {
      for _ in 0..<columns / 32 {
        let scale = Float(Float16(0.001 + random.uniform()))
        var codes = (0..<32).map { _ in random.int(-8...7) }
        codes[random.int(0...31)] = -8
        symmetric += codes.map { Float($0) * scale }
      }
      for _ in 0..<columns / 64 {
        let scale = Float(bitPattern: (0.001 + random.uniform()).bitPattern & 0xFFFF_0000)
        var codes = (0..<64).map { _ in random.int(0...15) }
        codes[0] = 0
        codes[63] = 15
        affine += codes.map { Float($0) * scale - scale * 8 }
      }
    }
    for search in [false, true] {
      let q4 = PackedMatrix(.q4, rows: 16, columns: columns, source: symmetric, search: search)
      #expect(q4.squaredError == 0)
      #expect(q4.values == symmetric)
      let q4a = PackedMatrix(.q4a, rows: 16, columns: columns, source: affine, search: search)
      #expect(q4a.squaredError == 0)
      #expect(q4a.values == affine)
    }
  }

  @Test(arguments: Scheme.quantized)
  func oddInputsPackSafely(scheme: Scheme) {
    let hard: [Float] = [
      0, -0, .leastNonzeroMagnitude, 1e-38, 1e-8, 6e-8, 1, -1, 65504, 1e6, 3e38, -3e38, .infinity,
      -.infinity, .nan,
    ]
    var random = Random(11)
    for trial in 0..<200 {
      let count = trial < hard.count ? trial + 1 : hard.count
      let source = (0..<16 * 70).map { _ in hard[random.int(0...count - 1)] }
      let w = PackedMatrix(scheme, rows: 16, columns: 70, source: source, search: trial % 2 == 0)
      if count <= 9 {
        #expect(w.values.allSatisfy { $0.isFinite }, "trial \(trial)")
        #expect(w.squaredError.isFinite)
      }
    }
    let zeros = PackedMatrix(
      scheme, rows: 16, columns: 70, source: [Float](repeating: 0, count: 16 * 70), search: true)
    #expect(zeros.values.allSatisfy { $0 == 0 } && zeros.squaredError == 0)
  }

  /// The same bytes on every machine.
  @Test(arguments: Scheme.allCases)
  func everyLevelPacksTheSame(scheme: Scheme) {
    var random = Random(12)
    for deviation: Float in [1, 0.02, 1e-7] {
      let source = random.normals(20 * 150, deviation: deviation)
      for search in [false, true] {
        let packed = Level.available.map {
          PackedMatrix(
            scheme, rows: 20, columns: 150, source: source, search: search, level: $0)
        }
        for other in packed.dropFirst() {
          #expect(other.bytes.array == packed[0].bytes.array)
          #expect(other.squaredError == packed[0].squaredError)
        }
      }
    }
  }

  @Test func ggufBlocksKeepTheirBits() {
    var random = Random(13)
    for (rows, columns) in [(16, 32), (5, 96), (16, 256)] {
      for scheme in [Scheme.q4, .q8] {
        let groupBytes = scheme == .q4 ? 18 : 34
        let rowBytes = columns / 32 * groupBytes
        let stride = rowBytes + 6
        let bytes = Guarded((rows - 1) * stride + rowBytes, filledWith: UInt8(0))
        for i in 0..<bytes.count { bytes[i] = UInt8(truncatingIfNeeded: random.next()) }
        let block = Guarded(fm_block_bytes(scheme.value, columns), filledWith: UInt8(0xEE))
        if scheme == .q4 {
          fm_pack_block_q4_0(bytes.pointer, stride, rows, columns, block.pointer)
        } else {
          fm_pack_block_q8_0(bytes.pointer, stride, rows, columns, block.pointer)
        }
        let out = Guarded(rows * columns, filledWith: canary)
        fm_unpack_block(scheme.value, block.pointer, columns, rows, out.pointer, columns)
        for r in 0..<rows {
          for k in 0..<columns {
            let group = r * stride + k / 32 * groupBytes
            let half = UInt16(bytes[group]) | UInt16(bytes[group + 1]) << 8
            let scale = Float(Float16(bitPattern: half))
            guard scale.isFinite else { continue }
            let j = k % 32
            let code =
              scheme == .q8
              ? Int(Int8(bitPattern: bytes[group + 2 + j]))
              : Int(j < 16 ? bytes[group + 2 + j] & 15 : bytes[group + 2 + j - 16] >> 4) - 8
            #expect(out[r * columns + k] == Float(code) * scale)
          }
        }
      }
    }
    // Byte for byte: d = -2, n = 0...15 low and 15...0 high.
    let q4: [UInt8] = [0x00, 0xC0] + (0..<16).map { UInt8($0) | UInt8(15 - $0) << 4 }
    let block = Guarded(fm_block_bytes(FM_Q4, 32), filledWith: UInt8(0xEE))
    fm_pack_block_q4_0(q4, 18, 1, 32, block.pointer)
    #expect(block[0] == 0x00 && block[1] == 0xC0 && block[2] == 0)
    #expect(Array(block.array[64..<72]) == [0x40, 0x51, 0x62, 0x73, 0x88, 0x88, 0x88, 0x88])
    let out = Guarded(32, filledWith: canary)
    fm_unpack_block(FM_Q4, block.pointer, 32, 1, out.pointer, 32)
    let codes: [Int] = Array(0..<16) + Array((0..<16).reversed())
    let expected: [Float] = codes.map { Float(16 - 2 * $0) }
    #expect(out.array == expected)
  }

  /// Every code at every scale: the format's own definition, computed in double precision.
  @Test func mxfp4HoldsEveryCodeAndScale() {
    let magnitudes = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let columns = 16 * 32
    var rows: [UInt8] = []
    for row in 0..<16 {
      for group in 0..<16 {
        rows.append(UInt8(16 * row + group))
        rows += (0..<16).map { UInt8($0) | UInt8(15 - $0) << 4 }
      }
    }
    let block = Guarded(fm_block_bytes(FM_MXFP4, columns), filledWith: UInt8(0xEE))
    fm_pack_block_mxfp4(rows, 17 * 16, 16, columns, block.pointer)
    let out = Guarded(16 * columns, filledWith: canary)
    fm_unpack_block(FM_MXFP4, block.pointer, columns, 16, out.pointer, columns)
    for row in 0..<16 {
      for column in 0..<columns {
        let exponent = 16 * row + column / 32
        guard exponent < 253 else { continue }
        let code = column % 32 < 16 ? column % 16 : 15 - column % 16
        let value =
          magnitudes[code & 7] * Double(sign: .plus, exponent: exponent - 127, significand: 1)
        #expect(out[row * columns + column] == Float(code < 8 ? value : -value))
      }
    }
    // Scales first, one byte a row; then lines of 4 columns low and 4 high.
    #expect(block[0] == 0 && block[1] == 16 && block[16] == 1)
    #expect(Array(block.array[256..<260]) == [0x40, 0x51, 0x62, 0x73])
  }

  /// Values on the grid come back exactly, whatever the scale, and ties and limits round to nearest.
  @Test func mxfp4FindsItsGridAndRoundsToNearest() {
    let levels: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    var random = Random(14)
    var source: [Float] = []
    for _ in 0..<16 * 4 {
      let scale = Float(sign: .plus, exponent: random.int(-60...60), significand: 1)
      var group = (0..<32).map { _ in levels[random.int(0...7)] * scale }
      for at in group.indices where random.int(0...1) == 1 { group[at] = -group[at] }
      group[random.int(0...31)] = 6 * scale
      source += group
    }
    for search in [false, true] {
      let w = PackedMatrix(.mxfp4, rows: 16, columns: 128, source: source, search: search)
      #expect(w.values == source && w.squaredError == 0 && w.greatestError == 0)
    }
    let values = [6] + (0..<31).map { Float($0) * 0.19 }
    let w = PackedMatrix(.mxfp4, rows: 1, columns: 32, source: values)
    for (value, stored) in zip(values, w.values) {
      let nearest = levels.map { abs($0 - value) }.min() ?? 0
      #expect(abs(abs(stored - value) - nearest) < 1e-6, "\(value) became \(stored)")
    }
  }

  /// Columns that matter more get smaller errors; equal importance is none; every level agrees.
  @Test(arguments: Scheme.quantized)
  func importanceWeighsTheSearch(scheme: Scheme) {
    var random = Random(15)
    let (rows, columns) = (16, 70)
    var (weightedSum, plainSum) = (0.0, 0.0)
    for _ in 0..<20 {
      let source = Guarded(random.normals(rows * columns, deviation: 0.1))
      let importance = Guarded(
        (0..<columns).map { _ in random.int(0...3) == 0 ? 10 + random.uniform() : random.uniform() }
      )
      let plain = PackedMatrix(
        scheme, rows: rows, columns: columns, source: source.array, search: true)
      func pack(_ level: Level, _ importance: Guarded<Float>) -> ([UInt8], fm_pack_error) {
        let block = Guarded(fm_block_bytes(scheme.value, columns), filledWith: UInt8(0xAA))
        let error = fm_pack_block_weighted(
          level.value, scheme.value, source.pointer, columns, rows, columns, importance.pointer,
          block.pointer)
        return (block.array, error)
      }
      func weighted(_ block: [UInt8]) -> (Double, Double) {
        let bytes = Guarded(block)
        let values = Guarded(rows * columns, filledWith: canary)
        fm_unpack_block(scheme.value, bytes.pointer, columns, rows, values.pointer, columns)
        var sums = (0.0, 0.0)
        for at in 0..<rows * columns {
          let error = Double(values[at] - source[at])
          sums.0 += error * error * Double(importance[at % columns])
          sums.1 += error * error
        }
        return sums
      }
      let results = Level.available.map { pack($0, importance) }
      for other in results.dropFirst() { #expect(other.0 == results[0].0) }
      let (error, unweighted) = weighted(results[0].0)
      #expect(abs(results[0].1.squares - unweighted) <= 1e-5 * unweighted)
      weightedSum += error
      plainSum += weighted(plain.bytes.array).0
      let ones = Guarded(columns, filledWith: Float(1))
      #expect(pack(.portable, ones).0 == plain.bytes.array)
    }
    #expect(weightedSum < plainSum * (scheme == .q8 || scheme == .mxfp4 ? 0.999 : 0.97))
  }
}
