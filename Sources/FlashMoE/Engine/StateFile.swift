import Glibc
import Support
import WeightStore

/// A context in a file: magic, length of the header, header, tokens, and the layers' bytes.
///
/// The header says what the state belongs to and the checksum of what follows.  A file is outside
/// data: every length is checked against what this engine's shapes give before a byte is taken.
struct StateFile {
  private static let magic = Array("FMSTATE1".utf8)
  private static let headerLimitBytes = 4096
  /// Pages written are sent to disk and dropped at this distance: they count in a budget.
  private static let pieceBytes = 16 << 20

  private let core: EngineCore
  private let fingerprint: Checksum

  init(_ core: EngineCore, fingerprint: String) {
    self.core = core
    self.fingerprint = Checksum(of: Array(fingerprint.utf8))
  }

  func write(to path: String) throws(Failure) {
    core.decoder.settle()
    let tokens = core.context
    let ranges = core.decoder.state.byteRanges(count: tokens.count)
    let header: JSONObject = [
      "state": .string(fingerprint.description),
      "tokens": .integer(tokens.count),
      "stored": .integer(core.decoder.storedEnd),
      "checksum": .string(Self.checksum(tokens, ranges).description),
    ]
    let text = Array(JSONValue.object(header).serialized().utf8)
    let temporary = path + ".tmp-\(getpid())"
    do throws(Failure) {
      let file = try File(temporary, .truncate)
      var end = 0
      func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
        var done = 0
        while done < bytes.count {
          let count = min(Self.pieceBytes, bytes.count - done)
          try file.write(UnsafeRawBufferPointer(rebasing: bytes[done..<done + count]), at: end)
          done += count
          end += count
          guard count == Self.pieceBytes else { continue }
          try file.synchronize()
          file.dropCache()
        }
      }
      let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
      try Self.bytes(of: Self.magic + length + text, append)
      try Self.bytes(of: tokens, append)
      for range in ranges { try append(UnsafeRawBufferPointer(range)) }
      try file.synchronize()
      file.dropCache()
      try FileSystem.rename(temporary, to: path)
    } catch {
      unlink(temporary)
      throw error
    }
  }

  func read(from path: String) throws(Failure) {
    core.startAgain()
    let file = try File(path, .read)
    defer { file.dropCache() }
    let size = try file.size()
    let damaged = Failure(
      .corrupt, path, "it is not a whole saved state", remedy: "Delete it and save it again")
    let prefix = Self.magic.count + 8
    guard size >= prefix else { throw damaged }
    let opening = try Self.bytes(of: file, at: 0, count: prefix)
    let length = opening[Self.magic.count...].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    guard Array(opening.prefix(Self.magic.count)) == Self.magic, length <= Self.headerLimitBytes,
      prefix + Int(length) <= size
    else { throw damaged }
    let header = try JSONValue.parse(
      try Self.bytes(of: file, at: prefix, count: Int(length)), subject: path)
    guard header["state"]?.string == fingerprint.description else {
      throw Failure(
        .mismatch, path,
        "it belongs to another model, or to other --kv, --ctx, --activations or --kernels",
        remedy: "Use the settings it was saved with, or another file")
    }
    guard let count = header["tokens"]?.integer, let stored = header["stored"]?.integer,
      (0...(1 << 32)).contains(count), (count...(1 << 32)).contains(stored),
      let checksum = header["checksum"]?.string
    else { throw damaged }
    guard count <= core.plan.contextLength else {
      throw Failure(
        .budget, path, "\(count) tokens where the context holds \(core.plan.contextLength)",
        remedy: "Use --ctx \(count) or more")
    }
    let ranges = core.decoder.state.byteRanges(count: count)
    var place = prefix + Int(length)
    guard size == place + 4 * count + ranges.reduce(0, { $0 + $1.count }) else { throw damaged }
    let tokens = try Self.bytes(of: file, at: place, count: 4 * count).withUnsafeBytes { raw in
      (0..<count).map {
        Int32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self))
      }
    }
    place += 4 * count
    for range in ranges {
      try file.read(into: range, at: place)
      place += range.count
    }
    guard Self.checksum(tokens, ranges).description == checksum else { throw damaged }
    try core.restored(tokens, storedEnd: stored)
  }

  private static func checksum(_ tokens: [Int32], _ ranges: [UnsafeMutableRawBufferPointer])
    -> Checksum
  {
    var all: [UInt64] = [tokens.withUnsafeBytes { Checksum(of: $0).value }]
    for range in ranges { all.append(Checksum(of: UnsafeRawBufferPointer(range)).value) }
    return all.withUnsafeBytes { Checksum(of: $0) }
  }

  private static func bytes<Element>(
    of array: [Element], _ body: (UnsafeRawBufferPointer) throws(Failure) -> Void
  ) throws(Failure) {
    var failure: Failure?
    array.withUnsafeBytes { buffer in
      do throws(Failure) { try body(buffer) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  private static func bytes(of file: borrowing File, at offset: Int, count: Int) throws(Failure)
    -> [UInt8]
  {
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: Failure?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(Failure) { try file.read(into: buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }
}
