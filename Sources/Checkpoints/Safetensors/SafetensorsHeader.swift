import Support

/// The header of one safetensors file: `u64 length`, a JSON object, then the tensors' bytes.
///
/// Follows the published format (huggingface/safetensors, README "Format") and is as strict as
/// its reference reader: the header is at most 100 MB and starts with `{`; offsets are relative
/// to the end of the header; the tensors cover the data section entirely, without hole or
/// overlap.
struct SafetensorsHeader {
  /// In file order.
  let tensors: [TensorDescription]
  /// The optional `__metadata__` member: strings only.
  let metadata: JSONObject

  static let maximumHeaderBytes = 100_000_000
  static let maximumRank = 8

  /// - Parameter fileIndex: what the descriptions say in `file`.
  init(_ file: WeightFile, fileIndex: Int) throws(Failure) {
    let path = file.path
    guard file.byteCount >= 8 else {
      throw Failure(
        .malformed, path, "\(file.byteCount) bytes are too few for a safetensors file",
        remedy: "Download or copy this file again")
    }
    let prefix = try file.bytes(0..<8)
    let length = prefix.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard length <= UInt64(Self.maximumHeaderBytes) else {
      throw Failure(
        .malformed, path, at: "byte 0",
        "a header of \(length) bytes, where the format allows at most \(Self.maximumHeaderBytes)",
        remedy: "Check that this is a safetensors file")
    }
    let headerEnd = 8 + Int(length)
    guard headerEnd <= file.byteCount else {
      throw Failure(
        .malformed, path,
        "the file is truncated inside its header: \(headerEnd - file.byteCount) bytes of "
          + "\(length) are missing", remedy: "Download or copy this file again")
    }
    let text = try file.bytes(8..<headerEnd)
    guard text.first == UInt8(ascii: "{") else {
      throw Failure(.malformed, path, at: "byte 8", "the header does not start with '{'")
    }
    let json = try JSONValue.parse(text, subject: path)
    guard let header = json.object else {
      throw Failure(.malformed, path, at: "byte 8", "the header is not a JSON object")
    }

    var tensors: [TensorDescription] = []
    tensors.reserveCapacity(header.count)
    var metadata = JSONObject()
    for (name, value) in header.members {
      if name == "__metadata__" {
        metadata = try Self.metadata(value, path: path)
      } else {
        tensors.append(
          try Self.tensor(
            name, value, path: path, fileIndex: fileIndex, dataStart: headerEnd))
      }
    }
    self.tensors = TensorPlacement.sortedByOffset(tensors)
    self.metadata = metadata
    try checkCoverage(file, dataStart: headerEnd)
  }

  private static func metadata(_ value: JSONValue, path: String) throws(Failure) -> JSONObject {
    guard let object = value.object, object.members.allSatisfy({ $0.value.string != nil }) else {
      throw Failure(
        .malformed, path, at: "__metadata__", "must be an object that holds only strings")
    }
    return object
  }

  private static func tensor(
    _ name: String, _ value: JSONValue, path: String, fileIndex: Int, dataStart: Int
  ) throws(Failure) -> TensorDescription {
    let place = "tensor \(TensorPlacement.printable(name))"
    func malformed(_ problem: String) -> Failure { Failure(.malformed, path, at: place, problem) }

    guard !name.isEmpty else { throw malformed("a tensor has an empty name") }
    guard let dtype = value["dtype"]?.string else {
      throw malformed("its dtype is missing or not a string")
    }
    guard let type = elementType(dtype) else {
      throw Failure(
        .unsupported, path, at: place,
        "the data type \(TensorPlacement.printable(dtype)) is not supported",
        remedy: "Convert the checkpoint to BF16, F16 or F32")
    }
    guard let shapeValues = value["shape"]?.array else {
      throw malformed("its shape is missing or not a list")
    }
    guard shapeValues.count <= maximumRank else {
      throw malformed("\(shapeValues.count) dimensions, where at most \(maximumRank) make sense")
    }
    var shape: [Int] = []
    for value in shapeValues {
      guard case .integer(let dimension) = value, dimension >= 0 else {
        throw malformed("a dimension is not a whole number of 0 or more")
      }
      shape.append(dimension)
    }
    guard let offsets = value["data_offsets"]?.array, offsets.count == 2,
      case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1],
      begin >= 0, begin <= end
    else {
      throw malformed("its data_offsets are not two ascending whole numbers of 0 or more")
    }
    guard let byteCount = type.byteCount(shape: shape) else {
      throw malformed("the size of shape \(shape) overflows")
    }
    guard byteCount == end - begin else {
      throw malformed(
        "\(dtype) of shape \(shape) needs \(byteCount) bytes, but its data_offsets span "
          + "\(end - begin)")
    }
    guard !end.addingReportingOverflow(dataStart).overflow else {
      throw malformed("its data_offsets overflow")
    }
    return TensorDescription(
      name: name, type: type, shape: shape, file: fileIndex, offset: dataStart + begin,
      byteCount: byteCount)
  }

  /// No overlap, no hole, nothing behind the last tensor.
  private func checkCoverage(_ file: WeightFile, dataStart: Int) throws(Failure) {
    try TensorPlacement.checkOverlaps(tensors, path: file.path)
    var end = dataStart
    for tensor in tensors {
      guard tensor.offset == end else {
        throw Failure(
          .malformed, file.path, at: "tensor \(tensor.name)",
          "starts at byte \(tensor.offset), but the data before it ends at byte \(end): "
            + "the format allows no holes and no overlaps")
      }
      end += tensor.byteCount
    }
    try TensorPlacement.checkBounds(tensors, fileBytes: file.byteCount, path: file.path)
    guard end == file.byteCount else {
      throw Failure(
        .malformed, file.path, at: "byte \(end)",
        "\(file.byteCount - end) bytes follow the last tensor and belong to none")
    }
  }

  private static func elementType(_ dtype: String) -> ElementType? {
    switch dtype {
    case "F64": .f64
    case "F32": .f32
    case "F16": .f16
    case "BF16": .bf16
    case "F8_E4M3": .f8e4m3
    case "F8_E5M2": .f8e5m2
    case "I64": .i64
    case "I32": .i32
    case "I16": .i16
    case "I8": .i8
    case "U64": .u64
    case "U32": .u32
    case "U16": .u16
    case "U8": .u8
    case "BOOL": .bool
    default: nil
    }
  }
}
