import Support

/// A context put aside: its tokens and the states of all layers.
///
/// It fits engines with the same model, key/value type and context length as the one it came from.
struct SavedContext {
  fileprivate let tokens: [Int32]
  fileprivate let bytes: [UInt8]

  var tokenCount: Int { tokens.count }
  var byteCount: Int { bytes.count }
}

extension EngineCore {
  /// Copies the present context.
  func saveContext() -> SavedContext {
    decoder.settle()
    let ranges = decoder.state.byteRanges(count: context.count)
    let total = ranges.reduce(0) { $0 + $1.count }
    let bytes = [UInt8](unsafeUninitializedCapacity: total) { buffer, filled in
      for range in ranges {
        UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(buffer)[filled..<filled + range.count]
        ).copyMemory(from: UnsafeRawBufferPointer(range))
        filled += range.count
      }
    }
    return SavedContext(tokens: context, bytes: bytes)
  }

  /// Puts a saved context in the place of the present one.
  ///
  /// - Throws: `Failure(.mismatch)` for one of another model or another context length.
  func restore(_ saved: SavedContext) throws(Failure) {
    let ranges = decoder.state.byteRanges(count: saved.tokenCount)
    guard saved.tokenCount <= decoder.state.contextLength,
      ranges.reduce(0, { $0 + $1.count }) == saved.byteCount
    else {
      throw Failure(
        .mismatch, "saved context", "its \(saved.byteCount) bytes are not a state of this engine")
    }
    saved.bytes.withUnsafeBytes { buffer in
      var start = 0
      for range in ranges {
        range.copyMemory(
          from: UnsafeRawBufferPointer(rebasing: buffer[start..<start + range.count]))
        start += range.count
      }
    }
    putInPlace(saved.tokens)
  }
}
