import Support

/// What the user has: a Hugging Face directory or a GGUF file, opened and checked.
///
/// Opening reads headers only.  Every length, offset, shape, type, name and count has been
/// checked against the files when `open` returns; what is refused and why is in
/// `docs/checkpoints.md`.  Reading is safe from several threads at once.
public final class Checkpoint: Sendable {
  public enum Kind: String, Sendable {
    case huggingFace, gguf
  }

  public let kind: Kind
  /// The directory, or the `.gguf` file, the first of several.
  public let path: String
  /// Paths of the weight files, absolute.
  public let files: [String]
  public let tensors: [String: TensorDescription]
  /// `config.json`; an empty object for GGUF.
  public let config: JSONValue
  /// GGUF key/value pairs; for safetensors the `__metadata__` of the first file.
  public let metadata: JSONObject

  private let weightFiles: [WeightFile]
  private let gate: Gate?

  /// Asked with a weight file's path before its weights are read; throws where they are not there.
  public typealias Gate = @Sendable (_ file: String) throws(Failure) -> Void

  private init(
    kind: Kind, path: String, weightFiles: [WeightFile], tensors: [String: TensorDescription],
    config: JSONValue, metadata: JSONObject, gate: Gate?
  ) {
    self.kind = kind
    self.path = path
    self.weightFiles = weightFiles
    files = weightFiles.map(\.path)
    self.tensors = tensors
    self.config = config
    self.metadata = metadata
    self.gate = gate
  }

  /// Opens a Hugging Face directory, a `.gguf` file or any part of a split one, or a directory that
  /// holds exactly one such model and no `config.json`.
  ///
  /// - Parameter gate: for weight files that have their headers only, so far.
  /// - Throws: `Failure` naming file, tensor or key, problem and remedy.
  public static func open(_ path: String, gate: Gate? = nil) throws(Failure) -> Checkpoint {
    switch try CheckpointLocation(path) {
    case .huggingFace(let directory):
      let found = try HuggingFaceDirectory(directory)
      return Checkpoint(
        kind: .huggingFace, path: directory, weightFiles: found.files, tensors: found.tensors,
        config: found.config, metadata: found.metadata, gate: gate)
    case .gguf(let file):
      let found = try GGUFShards(file)
      return Checkpoint(
        kind: .gguf, path: found.files.first?.path ?? file, weightFiles: found.files,
        tensors: found.tensors, config: .object([:]), metadata: found.metadata, gate: gate)
    }
  }

  /// Sorted by Unicode scalars, the same on every machine.
  public var tensorNames: [String] { tensors.keys.sorted() }

  public var totalTensorBytes: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

  /// The path of a file beside the weights, such as `tokenizer.json`, if it is there.
  /// A GGUF carries everything in its metadata and has none.
  public func companion(_ name: String) -> String? {
    guard kind == .huggingFace, !name.isEmpty, !name.contains("/"), name != ".", name != ".." else {
      return nil
    }
    let candidate = path + "/" + name
    return FileSystem.exists(candidate) && !FileSystem.isDirectory(candidate) ? candidate : nil
  }

  /// Reads part of a tensor as it is stored.
  ///
  /// - Parameters:
  ///   - tensor: one of this checkpoint's.
  ///   - bytes: relative to the tensor's first byte.
  ///   - buffer: exactly as large as `bytes`.
  /// - Throws: `Failure(.io)` naming file and tensor when the file cannot be read or has become
  ///   shorter; `Failure(.mismatch)` when range or buffer do not fit the tensor.
  public func read(
    _ tensor: TensorDescription, bytes: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    guard tensors[tensor.name] == tensor else {
      throw Failure(.mismatch, path, at: "tensor \(tensor.name)", "is not in this checkpoint")
    }
    guard bytes.lowerBound >= 0, bytes.upperBound <= tensor.byteCount, bytes.count == buffer.count
    else {
      throw Failure(
        .mismatch, files[tensor.file], at: "tensor \(tensor.name)",
        "cannot read bytes \(bytes.lowerBound) to \(bytes.upperBound) of \(tensor.byteCount) "
          + "into a buffer of \(buffer.count)")
    }
    try gate?(files[tensor.file])
    do throws(Failure) {
      try weightFiles[tensor.file].file.read(into: buffer, at: tensor.offset + bytes.lowerBound)
    } catch {
      var named = error
      named.place = "tensor \(tensor.name)" + (error.place.map { ", \($0)" } ?? "")
      throw named
    }
  }

  /// Drops the weight files' clean pages from the page cache, which counts against a budget.
  public func dropCache() {
    for weights in weightFiles { weights.file.dropCache() }
  }
}
