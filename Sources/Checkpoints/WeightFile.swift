import Support

/// One open weight file and the size it had when its header was checked.
final class WeightFile: Sendable {
  let file: File
  let byteCount: Int

  init(_ path: String) throws(Failure) {
    file = try File(path, .read)
    byteCount = try file.size()
  }

  var path: String { file.path }

  /// Bytes of the header; the caller has checked that they lie inside the file.
  func bytes(_ range: Range<Int>) throws(Failure) -> [UInt8] {
    var failure: Failure?
    let result = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      do throws(Failure) {
        try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: range.lowerBound)
        count = range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return result
  }
}
