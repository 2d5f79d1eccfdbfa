import Support

/// The header of a GGUF file, versions 2 and 3, little-endian (ggml, docs/gguf.md).
///
/// `"GGUF"`, version, tensor count, pair count, the key/value pairs, the tensor infos; then,
/// aligned to `general.alignment` (32 unless said), the tensors' bytes.
struct GGUFHeader {
  let metadata: JSONObject
  let tensors: [String: TensorDescription]
  /// Set where the model is split into several files.
  let split: Split?

  /// Which part of a split model a file is.
  struct Split: Equatable {
    /// From 0.
    var number: Int
    var count: Int
    /// Tensors of all parts, where the file says it.
    var tensorCount: Int?
  }

  static let magic = Array("GGUF".utf8)
  private static let maximumTensors = 1 << 20
  private static let maximumPairs = 1 << 16
  private static let maximumKeyBytes = 65535
  private static let maximumNameBytes = 64
  private static let maximumRank = 4
  private static let maximumAlignment = 1 << 16

  /// - Parameter fileIndex: what the descriptions say in `file`.
  init(_ file: WeightFile, fileIndex: Int = 0) throws(Failure) {
    var reader = GGUFReader(file)
    try Self.checkVersion(&reader)
    // An info takes at least name length, rank, type and offset; a pair at least key length,
    // type and one byte.
    let tensorCount = try reader.count(of: "tensors", elementBytes: 24)
    let pairCount = try reader.count(of: "key/value pairs", elementBytes: 13)
    guard tensorCount <= Self.maximumTensors, pairCount <= Self.maximumPairs else {
      throw reader.malformed(
        "\(tensorCount) tensors and \(pairCount) key/value pairs, where at most "
          + "\(Self.maximumTensors) and \(Self.maximumPairs) make sense")
    }
    metadata = try Self.pairs(&reader, count: pairCount)
    split = try Self.split(metadata, path: file.path)
    let alignment = try Self.alignment(metadata, path: file.path)

    var infos: [TensorDescription] = []
    infos.reserveCapacity(tensorCount)
    var names: Set<String> = []
    for at in 0..<tensorCount {
      reader.place = "tensor info \(at)"
      let info = try Self.tensorInfo(&reader, alignment: alignment)
      guard names.insert(info.name).inserted else {
        throw reader.malformed(
          "tensor \(TensorPlacement.printable(info.name)) stands twice")
      }
      infos.append(info)
    }

    let dataStart = (reader.offset + alignment - 1) / alignment * alignment
    var placed: [TensorDescription] = []
    placed.reserveCapacity(infos.count)
    for info in infos {
      let (offset, overflow) = info.offset.addingReportingOverflow(dataStart)
      guard !overflow, !offset.addingReportingOverflow(info.byteCount).overflow else {
        throw Failure(
          .malformed, file.path, at: "tensor \(info.name)", "its offset \(info.offset) overflows")
      }
      placed.append(
        TensorDescription(
          name: info.name, type: info.type, shape: info.shape, file: fileIndex, offset: offset,
          byteCount: info.byteCount))
    }
    let sorted = TensorPlacement.sortedByOffset(placed)
    try TensorPlacement.checkOverlaps(sorted, path: file.path)
    try TensorPlacement.checkBounds(sorted, fileBytes: file.byteCount, path: file.path)
    tensors = Dictionary(uniqueKeysWithValues: placed.map { ($0.name, $0) })
  }

  private static func checkVersion(_ reader: inout GGUFReader) throws(Failure) {
    guard try reader.bytes(4) == magic else {
      throw Failure(
        .malformed, reader.path, at: "byte 0",
        "this is not a GGUF file: it does not start with GGUF")
    }
    let version = try reader.integer(UInt32.self)
    switch version {
    case 2, 3: return
    case 1:
      throw Failure(
        .unsupported, reader.path, "GGUF version 1 is not supported",
        remedy: "Convert it to version 3 with a current llama.cpp")
    case let swapped where swapped != 0 && swapped & 0xFFFF == 0:
      throw Failure(
        .unsupported, reader.path, "big-endian GGUF files are not supported",
        remedy: "Convert it with gguf_convert_endian.py of llama.cpp")
    default:
      throw Failure(
        .unsupported, reader.path, "GGUF version \(version) is not known; 2 and 3 are read")
    }
  }

  private static func pairs(_ reader: inout GGUFReader, count: Int) throws(Failure) -> JSONObject {
    var result = JSONObject()
    var elements = 0
    for at in 0..<count {
      reader.place = "key/value pair \(at)"
      let key = try reader.string("key", maximumBytes: maximumKeyBytes)
      guard !key.isEmpty else { throw reader.malformed("an empty key") }
      reader.place = "key \(TensorPlacement.printable(key))"
      guard result[key] == nil else { throw reader.malformed("the key stands twice") }
      let type = try reader.valueType()
      result[key] = try reader.value(type, elements: &elements)
    }
    return result
  }

  private static func split(_ metadata: JSONObject, path: String) throws(Failure) -> Split? {
    func number(_ key: String, in range: ClosedRange<Int>) throws(Failure) -> Int? {
      guard let value = metadata[key] else { return nil }
      guard let number = value.integer, range.contains(number) else {
        throw Failure(
          .malformed, path, at: "key \(key)",
          "must be a number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    guard let count = try number("split.count", in: 0...99_999), count > 1 else { return nil }
    guard let position = try number("split.no", in: 0...count - 1) else {
      throw Failure(
        .malformed, path, at: "key split.no", "is missing in a part of a split of \(count)")
    }
    return Split(
      number: position, count: count,
      tensorCount: try number("split.tensors.count", in: 0...maximumTensors))
  }

  private static func alignment(_ metadata: JSONObject, path: String) throws(Failure) -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard let alignment = value.integer, alignment > 0, alignment <= maximumAlignment,
      alignment & (alignment - 1) == 0
    else {
      throw Failure(
        .malformed, path, at: "key general.alignment",
        "must be a power of two of at most \(maximumAlignment)")
    }
    return alignment
  }

  /// One tensor info; `offset` is still relative to the data section.
  private static func tensorInfo(_ reader: inout GGUFReader, alignment: Int) throws(Failure)
    -> TensorDescription
  {
    let name = try reader.string("tensor name", maximumBytes: maximumNameBytes)
    guard !name.isEmpty else { throw reader.malformed("an empty tensor name") }
    reader.place = "tensor \(TensorPlacement.printable(name))"
    let rank = try reader.integer(UInt32.self)
    guard rank <= UInt32(maximumRank) else {
      throw reader.malformed("\(rank) dimensions, where at most \(maximumRank) are allowed")
    }
    var dimensions: [Int] = []
    for _ in 0..<rank {
      let raw = try reader.integer(UInt64.self)
      guard raw > 0, let dimension = Int(exactly: raw) else {
        throw reader.malformed("a dimension of \(raw)")
      }
      dimensions.append(dimension)
    }
    let type = try elementType(try reader.integer(UInt32.self), name: name, reader: reader)
    let rawOffset = try reader.integer(UInt64.self)
    guard let offset = Int(exactly: rawOffset), offset % alignment == 0 else {
      throw reader.malformed("its offset \(rawOffset) is not a multiple of \(alignment)")
    }
    // GGML counts dimensions from the innermost.
    let shape = Array(dimensions.reversed())
    guard (shape.last ?? 1) % type.blockElements == 0 else {
      throw reader.malformed(
        "rows of \(shape.last ?? 1) elements are not whole blocks of \(type.blockElements)")
    }
    guard let byteCount = type.byteCount(shape: shape) else {
      throw reader.malformed("the size of shape \(shape) overflows")
    }
    return TensorDescription(
      name: name, type: type, shape: shape, file: 0, offset: offset, byteCount: byteCount)
  }

  private static func elementType(_ number: UInt32, name: String, reader: GGUFReader)
    throws(Failure) -> ElementType
  {
    switch GGMLType(number) {
    case .readable(let type): return type
    case .named(let typeName):
      throw Failure(
        .unsupported, reader.path, at: "tensor \(TensorPlacement.printable(name))",
        "\(typeName) is not supported; floats, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4 "
          + "are read",
        remedy: "Use a GGUF of the same model in one of these, or its safetensors")
    case .unknown:
      throw reader.malformed("unknown tensor type \(number)")
    }
  }
}
