import Support

/// The rules about where tensors lie that both formats share.
enum TensorPlacement {
  /// Checks that every tensor ends inside the file.
  ///
  /// - Throws: `Failure(.malformed)` naming the first tensor in file order that is cut off and
  ///   the bytes that are missing.
  static func checkBounds(_ sorted: [TensorDescription], fileBytes: Int, path: String)
    throws(Failure)
  {
    guard let cut = sorted.first(where: { $0.offset + $0.byteCount > fileBytes }),
      let end = sorted.map({ $0.offset + $0.byteCount }).max()
    else { return }
    let present = max(0, fileBytes - cut.offset)
    throw Failure(
      .malformed, path, at: "tensor \(cut.name)",
      "the file is truncated: \(present) of the tensor's \(cut.byteCount) bytes are there, and "
        + "\(end - fileBytes) bytes are missing at the end of the file",
      remedy: "Download or copy this file again")
  }

  /// Checks that no byte belongs to two tensors.
  static func checkOverlaps(_ sorted: [TensorDescription], path: String) throws(Failure) {
    var last: TensorDescription?
    for tensor in sorted where tensor.byteCount > 0 {
      if let last, last.offset + last.byteCount > tensor.offset {
        throw Failure(
          .malformed, path, at: "tensor \(tensor.name)",
          "overlaps tensor \(last.name): it starts at byte \(tensor.offset), and "
            + "\(last.name) ends at byte \(last.offset + last.byteCount)")
      }
      last = tensor
    }
  }

  static func sortedByOffset(_ tensors: [TensorDescription]) -> [TensorDescription] {
    tensors.sorted { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }
  }

  /// A name fit for an error message: control characters and endless names are not printed.
  static func printable(_ name: String) -> String {
    let cut = String(name.unicodeScalars.prefix(120).map { $0.value < 0x20 ? "?" : Character($0) })
    return cut.unicodeScalars.count < name.unicodeScalars.count ? cut + "…" : cut
  }
}
