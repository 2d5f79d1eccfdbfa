import Checkpoints
import Support

/// One checkpoint tensor that makes up a matrix, alone or with others.
struct TensorPart: Sendable {
  let checkpoint: Checkpoint
  let tensor: TensorDescription

  var file: String { checkpoint.files[tensor.file] }
  var place: String { "tensor \(tensor.name)" }

  /// nil where the checkpoint has no such tensor.
  init?(_ checkpoint: Checkpoint, _ name: String) {
    guard let tensor = checkpoint.tensors[name] else { return nil }
    self.checkpoint = checkpoint
    self.tensor = tensor
  }

  func read(_ bytes: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(Failure) {
    try checkpoint.read(tensor, bytes: bytes, into: buffer)
  }

  func bytes(_ range: Range<Int>) throws(Failure) -> [UInt8] {
    var failure: Failure?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      do throws(Failure) {
        try read(range, into: UnsafeMutableRawBufferPointer(buffer))
        count = range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Elements of a float tensor, all of them or some in a row.
  func floats(_ elements: Range<Int>? = nil) throws(Failure) -> [Float] {
    let range = elements ?? 0..<tensor.elementCount
    let width = tensor.type == .f32 ? 4 : 2
    return try widen(try bytes(range.lowerBound * width..<range.upperBound * width))
  }

  /// The same elements of each of `lines` lines of `length` floats.
  func floatStrip(lines: Int, of length: Int, elements: Range<Int>) throws(Failure) -> [Float] {
    let width = tensor.type == .f32 ? 4 : 2
    return try widen(
      try stripBytes(lines: lines, length: length * width, elements.scaled(by: width)))
  }

  /// The same elements of each of `lines` lines of `length` integers.
  func strip<Element: FixedWidthInteger>(
    lines: Int, of length: Int, elements: Range<Int>, as type: Element.Type
  ) throws(Failure) -> [Element] {
    let width = MemoryLayout<Element>.size
    let bytes = try stripBytes(lines: lines, length: length * width, elements.scaled(by: width))
    return bytes.withUnsafeBytes { Array($0.bindMemory(to: Element.self)) }
  }

  private func stripBytes(lines: Int, length: Int, _ range: Range<Int>) throws(Failure) -> [UInt8] {
    if range.count == length { return try bytes(0..<lines * length) }
    var failure: Failure?
    let result = [UInt8](unsafeUninitializedCapacity: lines * range.count) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      do throws(Failure) {
        for line in 0..<lines {
          let to = line * range.count
          try read(
            line * length + range.lowerBound..<line * length + range.upperBound,
            into: UnsafeMutableRawBufferPointer(rebasing: raw[to..<to + range.count]))
        }
        count = lines * range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return result
  }

  private func widen(_ bytes: [UInt8]) throws(Failure) -> [Float] {
    guard [.f32, .f16, .bf16].contains(tensor.type) else {
      throw failure(.unsupported, "is \(tensor.type.rawValue), where f32, f16 or bf16 is expected")
    }
    return bytes.withUnsafeBytes { bytes in
      switch tensor.type {
      case .f32: Array(bytes.bindMemory(to: Float.self))
      case .f16: bytes.bindMemory(to: UInt16.self).map { Float(Float16(bitPattern: $0)) }
      default: bytes.bindMemory(to: UInt16.self).map { Float(bitPattern: UInt32($0) << 16) }
      }
    }
  }

  /// All elements of a small tensor of integers.
  func integers() throws(Failure) -> [Int] {
    guard [.i32, .i64].contains(tensor.type) else {
      throw failure(.unsupported, "is \(tensor.type.rawValue), where i32 or i64 is expected")
    }
    return try bytes(0..<tensor.byteCount).withUnsafeBytes { bytes in
      tensor.type == .i64
        ? bytes.bindMemory(to: Int64.self).map { Int($0) }
        : bytes.bindMemory(to: Int32.self).map { Int($0) }
    }
  }

  /// `g_idx`: the group of every column.
  func groupIndex(columns: Int, groups: Int) throws(Failure) -> [Int32] {
    try check(types: [.i32, .i64], rows: 1, columns: columns)
    let found = try integers()
    for (column, group) in found.enumerated() where !(0..<groups).contains(group) {
      throw failure(.malformed, "puts column \(column) into group \(group) of \(groups)")
    }
    return found.map { Int32($0) }
  }

  /// Checks type and shape, all dimensions but the last multiplied together.
  func check(types: Set<ElementType>? = nil, rows: Int, columns: Int) throws(Failure) {
    if let types, !types.contains(tensor.type) {
      let known = types.map(\.rawValue).sorted().joined(separator: " or ")
      throw Failure(
        .unsupported, file, at: place, "is \(tensor.type.rawValue), where \(known) is expected")
    }
    let leading = tensor.shape.dropLast().reduce(1) { $0 * $1 }
    guard leading == rows, (tensor.shape.last ?? 1) == columns else {
      throw Failure(
        .mismatch, file, at: place,
        "has shape \(tensor.shape) where the configuration asks for "
          + (rows == 1 ? "[\(columns)]" : "[\(rows), \(columns)]"),
        remedy: "The weights and the configuration are of different models")
    }
  }

  func failure(_ kind: Failure.Kind, _ problem: String, remedy: String? = nil) -> Failure {
    Failure(kind, file, at: place, problem, remedy: remedy)
  }
}

extension Range<Int> {
  fileprivate func scaled(by factor: Int) -> Range<Int> {
    lowerBound * factor..<upperBound * factor
  }
}
