import CKernels
import Glibc
import Support
import TestSupport

@testable import WeightStore

/// Rows in memory, with an independent reading of what their numbers are.
struct MemoryRows: RowSource {
  var subject = "memory"
  var name: String
  var firstRow = 0
  var rows: Int
  var columns: Int
  var format: SourceFormat
  var bytes: [UInt8]
  var onRead: @Sendable () throws(Failure) -> Void = {}

  func read(rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    try onRead()
    let rowBytes = format.rowBytes(columns: columns)
    precondition(buffer.count == rows.count * rowBytes && rows.upperBound <= self.rows)
    buffer.copyBytes(from: bytes[rows.lowerBound * rowBytes..<rows.upperBound * rowBytes])
  }

  /// Random numbers of about unit size in any format; quantized bytes are random but the scales.
  init(_ name: String, _ rows: Int, _ columns: Int, _ format: SourceFormat, seed: UInt64) {
    self.name = name
    self.rows = rows
    self.columns = columns
    self.format = format
    var random = SeededRandom(seed: seed)
    bytes = []
    switch format {
    case .f32, .f16, .bf16:
      for _ in 0..<rows * columns {
        let value = Float.random(in: -2...2, using: &random)
        switch format {
        case .f32: withUnsafeBytes(of: value) { bytes += Array($0) }
        case .bf16: bytes += Self.littleEndian(UInt16(value.bitPattern >> 16))
        default: bytes += Self.littleEndian(Self.half(value))
        }
      }
    case .mxfp4:
      for _ in 0..<rows * columns / 32 {
        bytes += [UInt8.random(in: 110...130, using: &random)] + random.bytes(16)
      }
    case .affine4, .affine4Wide:
      for _ in 0..<rows * columns / 64 {
        for _ in 0..<2 {
          let value = Float.random(in: -0.1...0.1, using: &random)
          if format == .affine4 {
            bytes += Self.littleEndian(UInt16(value.bitPattern >> 16))
          } else {
            withUnsafeBytes(of: value) { bytes += Array($0) }
          }
        }
        bytes += random.bytes(32)
      }
    default:
      // Scales of all others are halves, which must be numbers.
      let places: [SourceFormat: [Int]] = [
        .q4_1: [0, 2], .q5_1: [0, 2], .q2_k: [80, 82], .q3_k: [108], .q4_k: [0, 2], .q5_k: [0, 2],
        .q6_k: [208],
      ]
      for _ in 0..<rows * columns / format.blockColumns {
        var block = random.bytes(format.rowBytes(columns: format.blockColumns))
        for at in places[format] ?? [0] {
          let scale = Self.half(Float.random(in: -0.1...0.1, using: &random))
          block.replaceSubrange(at..<at + 2, with: Self.littleEndian(scale))
        }
        bytes += block
      }
    }
  }

  static func littleEndian(_ value: UInt16) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8)] }
  static func half(_ value: Float) -> UInt16 { Float16(value).bitPattern }

  /// The numbers, read element by element from the format's definition.
  func value(_ row: Int, _ column: Int) -> Float {
    let start = row * format.rowBytes(columns: columns)
    func word(_ at: Int) -> UInt16 { UInt16(bytes[at]) | UInt16(bytes[at + 1]) << 8 }
    switch format {
    case .f32:
      let at = start + column * 4
      return Float(bitPattern: UInt32(word(at)) | UInt32(word(at + 2)) << 16)
    case .f16: return Float(Float16(bitPattern: word(start + column * 2)))
    case .bf16: return Float(bitPattern: UInt32(word(start + column * 2)) << 16)
    case .q8_0:
      let block = start + column / 32 * 34
      let quant = Int8(bitPattern: bytes[block + 2 + column % 32])
      return Float(Float16(bitPattern: word(block))) * Float(quant)
    case .mxfp4:
      let block = start + column / 32 * 17
      let byte = bytes[block + 1 + column % 16]
      let code = column % 32 < 16 ? byte & 15 : byte >> 4
      let magnitudes: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
      let magnitude = magnitudes[Int(code & 7)] * pow(2, Double(bytes[block]) - 127)
      return Float(code & 8 == 0 ? magnitude : -magnitude)
    case .affine4, .affine4Wide:
      let wide = format == .affine4Wide
      let block = start + column / 64 * (wide ? 40 : 36)
      func parameter(_ at: Int) -> Float {
        Float(
          bitPattern: wide
            ? UInt32(word(block + 4 * at)) | UInt32(word(block + 4 * at + 2)) << 16
            : UInt32(word(block + 2 * at)) << 16)
      }
      let byte = bytes[block + (wide ? 8 : 4) + column % 64 / 2]
      return parameter(0) * Float(column % 2 == 0 ? byte & 15 : byte >> 4) + parameter(1)
    default:
      let block = start + column / 32 * 18
      let byte = bytes[block + 2 + column % 16]
      let nibble = column % 32 < 16 ? byte & 15 : byte >> 4
      return Float(Float16(bitPattern: word(block))) * Float(Int(nibble) - 8)
    }
  }
}

enum PackFixtures {
  /// A small plan with residents of odd shapes and two layers of experts.
  static func plan(
    seed: UInt64 = 1, experts: Int = 3, scheme: Scheme = .q4, down: Scheme = .q8,
    resident: Scheme = .q8, format: SourceFormat = .bf16, hidden: Int = 64, inner: Int = 40,
    onRead: @escaping @Sendable () throws(Failure) -> Void = {}
  ) -> PackPlan {
    func source(_ name: String, _ rows: Int, _ columns: Int, _ format: SourceFormat, _ at: Int)
      -> MemoryRows
    {
      var source = MemoryRows(name, rows, columns, format, seed: seed &* 1000 &+ UInt64(at))
      source.onRead = onRead
      return source
    }
    let residents = [
      PackPlan.Resident(
        name: "embed", layout: .matrix(MatrixLayout(rows: 50, columns: hidden, scheme: resident)),
        rows: .plain(source("embed", 50, hidden, format, 1))),
      PackPlan.Resident(
        name: "norm", layout: .vector(count: 7), rows: .plain(source("norm", 1, 7, .f32, 2))),
      PackPlan.Resident(
        name: "router", layout: .matrix(MatrixLayout(rows: 3, columns: hidden, scheme: .f32)),
        rows: .plain(source("router", 3, hidden, .f32, 3))),
    ]
    let record = RecordLayout.swiglu(hidden: hidden, inner: inner, scheme: scheme, downScheme: down)
    let layers = [1, 2].map { layer in
      PackPlan.Layer(
        number: layer, record: record,
        experts: (0..<experts).map { expert in
          let at = 100 * layer + 10 * expert
          return [
            .blockedPairs(
              gate: source("\(layer).\(expert).gate", inner, hidden, format, at),
              up: source("\(layer).\(expert).up", inner, hidden, format, at + 1)),
            .plain(
              source("\(layer).\(expert).down", hidden, inner, downFormat(format, inner), at + 2)),
          ]
        })
    }
    return PackPlan(
      name: "fixture", config: .object(["model_type": .string("none")]),
      companions: [PackPlan.Companion(name: "tokenizer.json", bytes: Array("{\"a\": 1}".utf8))],
      residents: residents, layers: layers, source: ["format": .string("test")],
      sourceIdentity: ["seed \(seed)"])
  }

  private static func downFormat(_ format: SourceFormat, _ inner: Int) -> SourceFormat {
    inner % format.blockColumns != 0 ? .f16 : format
  }

  /// Every file of a directory tree by its path, for comparing stores.
  static func contents(_ path: String) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    func walk(_ prefix: String) throws {
      for name in try FileSystem.list(path + "/" + prefix) {
        let relative = prefix + name
        if FileSystem.isDirectory(path + "/" + relative) {
          try walk(relative + "/")
        } else {
          files[relative] = try FileSystem.readBytes(path + "/" + relative)
        }
      }
    }
    try walk("")
    return files
  }

  /// A stored matrix as rows of f32.
  static func unpack(_ bytes: ArraySlice<UInt8>, _ layout: MatrixLayout) -> [[Float]] {
    var rows: [[Float]] = []
    let block = UnsafeMutableRawPointer.allocate(byteCount: layout.blockBytes, alignment: 64)
    defer { block.deallocate() }
    for at in 0..<layout.blockCount {
      let start = bytes.startIndex + at * layout.blockBytes
      Array(bytes[start..<start + layout.blockBytes]).withUnsafeBytes {
        guard let base = $0.baseAddress else { return }
        block.copyMemory(from: base, byteCount: $0.count)
      }
      let valid = min(16, layout.rows - at * 16)
      var values = [Float](repeating: 0, count: 16 * layout.columns)
      fm_unpack_block(
        layout.scheme.kernelScheme, block, layout.columns, valid, &values, layout.columns)
      for row in 0..<valid {
        rows.append(Array(values[row * layout.columns..<(row + 1) * layout.columns]))
      }
    }
    return rows
  }
}
