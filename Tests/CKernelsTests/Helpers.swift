import CKernels
import Glibc

/// The instruction-set levels this machine can run.
enum Level: UInt32, CaseIterable, Sendable {
  case portable, avx2, avx512, amx

  static var available: [Level] { allCases.filter { fm_kernels_at($0.value) != nil } }
  var value: fm_level { fm_level(rawValue: rawValue) }
  var kernels: fm_kernels { fm_kernels_at(value).unsafelyUnwrapped.pointee }
}

enum Scheme: UInt32, CaseIterable, Sendable {
  case f32, f16, bf16, q8, q4, q4a, mxfp4, q3, q2

  static let quantized: [Scheme] = [.q8, .q4, .q4a, .mxfp4, .q3, .q2]
  var value: fm_scheme { fm_scheme(rawValue: rawValue) }

  /// What a byte of one code, or of two equal ones, stands for at scale 1.
  func weight(ofCode code: UInt8) -> Int {
    switch self {
    case .q8: Int(code) - 128
    case .mxfp4: [0, 1, 1, 2, 2, 3, 4, 6][Int(code & 7)] * (code & 8 == 0 ? 1 : -1)
    case .q3: Int(code & 1) * 7 - 4
    case .q2: Int(code & 3) - 2
    default: Int(code & 15) - 8
    }
  }
}

extension Guarded<UInt8> {
  /// Writes 1.0 as the scale of all 16 rows of a block's first groups.
  func setScalesToOne(_ scheme: Scheme, groups: Int) {
    for at in 0..<groups * 16 {
      if scheme == .mxfp4 {
        self[at] = 127
      } else {
        self[2 * at] = 0x00
        self[2 * at + 1] = 0x3C
      }
    }
  }
}

/// Memory that ends where an inaccessible page begins: one element read or written past the
/// end stops the test run.
final class Guarded<Element> {
  let pointer: UnsafeMutablePointer<Element>
  let count: Int
  private let base: UnsafeMutableRawPointer
  private let byteCount: Int

  init(_ count: Int, filledWith value: Element) {
    let page = 4096
    let used = (count * MemoryLayout<Element>.stride + page - 1) / page * page
    byteCount = used + page
    base = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    precondition(base != MAP_FAILED && mprotect(base + used, page, PROT_NONE) == 0)
    let start = base + used - count * MemoryLayout<Element>.stride
    pointer = start.bindMemory(to: Element.self, capacity: count)
    pointer.initialize(repeating: value, count: count)
    self.count = count
  }

  convenience init(_ values: [Element]) {
    self.init(values.count, filledWith: values[0])
    for (index, value) in values.enumerated() { pointer[index] = value }
  }

  deinit { munmap(base, byteCount) }

  var array: [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }
  subscript(index: Int) -> Element {
    get { pointer[index] }
    set { pointer[index] = newValue }
  }
}

/// SplitMix64: the same numbers in every run.
struct Random {
  var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  /// Uniform in `range`.
  mutating func int(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + Int(next() % UInt64(range.count))
  }
  mutating func uniform() -> Float { Float(next() >> 40) / Float(1 << 24) }
  /// Roughly normal, deviation 1, range ±6.
  mutating func normal() -> Float {
    var sum: Float = 0
    for _ in 0..<12 { sum += uniform() }
    return sum - 6
  }
  mutating func normals(_ count: Int, deviation: Float = 1) -> [Float] {
    (0..<count).map { _ in normal() * deviation }
  }
}

/// A packed random matrix, and the values its packed form stands for.
struct PackedMatrix {
  let scheme: Scheme
  let rows: Int
  let columns: Int
  let source: [Float]
  let bytes: Guarded<UInt8>
  let values: [Float]
  let squaredError: Double
  let greatestError: Float

  init(
    _ scheme: Scheme, rows: Int, columns: Int, source: [Float], search: Bool = false,
    level: Level? = nil
  ) {
    self.scheme = scheme
    self.rows = rows
    self.columns = columns
    self.source = source
    let blocks = (rows + 15) / 16
    let blockBytes = fm_block_bytes(scheme.value, columns)
    bytes = Guarded(blocks * blockBytes, filledWith: 0xAA)
    var values = [Float](repeating: .nan, count: rows * columns)
    var error = 0.0
    var greatest: Float = 0
    let input = Guarded(source)
    for block in 0..<blocks {
      let valid = min(16, rows - 16 * block)
      let at = bytes.pointer + block * blockBytes
      let from = input.pointer + 16 * block * columns
      let packed = fm_pack_block_at(
        level?.value ?? fm_best_level(), scheme.value, from, columns, valid, columns, search, at)
      error += packed.squares
      greatest = max(greatest, packed.greatest)
      values.withUnsafeMutableBufferPointer {
        guard let base = $0.baseAddress else { return }
        fm_unpack_block(scheme.value, at, columns, valid, base + 16 * block * columns, columns)
      }
    }
    self.values = values
    squaredError = error
    greatestError = greatest
  }

  init(_ scheme: Scheme, rows: Int, columns: Int, random: inout Random) {
    self.init(
      scheme, rows: rows, columns: columns,
      source: random.normals(rows * columns, deviation: 0.05))
  }

  var blocks: Int { (rows + 15) / 16 }
  var matrix: fm_matrix {
    fm_matrix(
      data: UnsafePointer(bytes.pointer), rows: UInt32(rows), columns: UInt32(columns),
      scheme: scheme.value)
  }
}

/// Quantized activations of `tokens` rows.
final class Activations {
  let values: Guarded<Int8>
  let scales: Guarded<Float>
  let sums: Guarded<Int32>
  let stride: Int

  init(tokens: Int, columns: Int) {
    stride = (columns + 63) / 64 * 64
    values = Guarded(tokens * stride, filledWith: 99)
    scales = Guarded(tokens * stride / 32, filledWith: .nan)
    sums = Guarded(tokens * stride / 32, filledWith: 12345)
  }

  convenience init(_ x: Guarded<Float>, tokens: Int, columns: Int, level: Level) {
    self.init(tokens: tokens, columns: columns)
    var target = pointers()
    level.kernels.quantize(x.pointer, columns, columns, 0, tokens, &target)
  }

  func pointers(token: Int = 0) -> fm_activations {
    fm_activations(
      values: values.pointer + token * stride, scales: scales.pointer + token * (stride / 32),
      sums: sums.pointer + token * (stride / 32), stride: stride)
  }
}

/// Bits, so that comparisons see every difference, NaN included.
func bits(_ values: [Float]) -> [UInt32] { values.map(\.bitPattern) }

/// A value no kernel writes.
let canary = Float(bitPattern: 0x7FC1_2345)
