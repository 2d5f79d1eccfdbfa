import Glibc
import Support

/// Writes a safetensors file whose shapes are known beforehand, in any order and without holding it.
///
/// The file appears under its name only when `finish` returns; until then its bytes are in a
/// temporary file beside it, which goes away with a writer that did not finish.
///
/// Format: 8 bytes little-endian header length, a JSON header padded with spaces to a multiple of
/// 8, the tensors' bytes (github.com/huggingface/safetensors).
public struct SafetensorsWriter: ~Copyable {
  public struct Tensor: Sendable {
    /// The format's own name: `F32`, `I32`.
    public var type: String
    public var name: String
    public var shape: [Int]
    public var elementBytes: Int

    public static func f32(_ name: String, _ shape: [Int]) -> Tensor {
      Tensor(type: "F32", name: name, shape: shape, elementBytes: 4)
    }

    public static func i32(_ name: String, _ shape: [Int]) -> Tensor {
      Tensor(type: "I32", name: name, shape: shape, elementBytes: 4)
    }

    var byteCount: Int { shape.reduce(elementBytes, *) }
  }

  /// Written pages are sent to disk and dropped at this distance: they count in a budget.
  private static let flushBytes = 16 << 20

  private let path: String
  private let temporary: String
  private let file: File
  /// Where each tensor starts in the file.
  private let offsets: [Int]
  private let byteCounts: [Int]
  private var unflushedBytes = 0
  private var isFinished = false

  /// - Throws: `Failure(.io)` or `.noSpace` naming the file.
  public init(_ path: String, tensors: [Tensor], metadata: [(String, String)] = [])
    throws(Failure)
  {
    var header: JSONObject = [:]
    if !metadata.isEmpty {
      var entries: JSONObject = [:]
      for (key, value) in metadata { entries[key] = .string(value) }
      header["__metadata__"] = .object(entries)
    }
    var starts: [Int] = []
    var end = 0
    for tensor in tensors {
      starts.append(end)
      end += tensor.byteCount
      header[tensor.name] = .object([
        "dtype": .string(tensor.type),
        "shape": .array(tensor.shape.map { .integer($0) }),
        "data_offsets": .array([.integer(end - tensor.byteCount), .integer(end)]),
      ])
    }
    var text = Array(JSONValue.object(header).serialized().utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
    let base = length.count + text.count

    self.path = path
    temporary = path + ".tmp-\(getpid())"
    offsets = starts.map { $0 + base }
    byteCounts = tensors.map(\.byteCount)
    guard !FileSystem.isDirectory(path) else {
      throw Failure(.io, path, "is a directory", remedy: "Name a file")
    }
    file = try Self.create(temporary, header: length + text, byteCount: base + end)
  }

  private static func create(_ path: String, header: [UInt8], byteCount: Int) throws(Failure)
    -> File
  {
    let file = try File(path, .truncate)
    do throws(Failure) {
      try put(header, file, at: 0)
      try file.truncate(to: byteCount)
    } catch {
      unlink(path)
      throw error
    }
    return file
  }

  private static func put(_ bytes: [UInt8], _ file: borrowing File, at offset: Int) throws(Failure)
  {
    var failure: Failure?
    bytes.withUnsafeBytes { buffer in
      do throws(Failure) { try file.write(buffer, at: offset) } catch { failure = error }
    }
    if let failure { throw failure }
  }

  /// Writes part of a tensor.
  ///
  /// - Parameter byteOffset: relative to the tensor's first byte.
  public mutating func write(_ bytes: UnsafeRawBufferPointer, to tensor: Int, at byteOffset: Int)
    throws(Failure)
  {
    precondition(byteOffset >= 0 && byteOffset + bytes.count <= byteCounts[tensor])
    try file.write(bytes, at: offsets[tensor] + byteOffset)
    unflushedBytes += bytes.count
    if unflushedBytes >= Self.flushBytes {
      unflushedBytes = 0
      try file.synchronize()
      file.dropCache()
    }
  }

  /// Makes the file durable and gives it its name.
  public mutating func finish() throws(Failure) {
    try file.synchronize()
    try FileSystem.rename(temporary, to: path)
    isFinished = true
  }

  deinit { if !isFinished { unlink(temporary) } }
}
