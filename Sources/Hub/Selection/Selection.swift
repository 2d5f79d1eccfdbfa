import Support

/// The files of a repository that a checkpoint needs.
public struct Selection: Sendable {
  public enum Kind: Sendable, Equatable {
    case safetensors
    /// Nil where no label can be read from the file's name.
    case gguf(quantization: String?)
  }

  public var kind: Kind
  public var files: [RepositoryFile]
  public var leftOut: [RepositoryFile]

  /// Files with weights, in the order they are fetched.
  public var weights: [RepositoryFile] {
    files.filter { $0.path.hasSuffix(".safetensors") || $0.path.hasSuffix(".gguf") }
  }

  public var totalBytes: Int { files.reduce(0) { $0 + ($1.size ?? 0) } }

  static let index = "model.safetensors.index.json"
  static let single = "model.safetensors"

  /// Small files that stand beside safetensors weights and mean something to a loader.
  private static let companions: Set<String> = [
    "config.json", "generation_config.json", "quantize_config.json", "quant_config.json",
    "hf_quant_config.json", "recipe.yaml", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "tiktoken.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json", index,
  ]

  /// Whether the repository has weights in the Hugging Face layout.
  static func hasSafetensors(_ snapshot: Snapshot) -> Bool {
    snapshot.files.contains { $0.path == single || $0.path == index }
  }

  /// The Hugging Face layout: companions, and the shards that the index lists.
  ///
  /// - Parameter index: the index's content, where the repository has one and no single file.
  static func safetensors(_ snapshot: Snapshot, index: JSONValue?) throws(Failure) -> Selection {
    let names = Set(snapshot.files.map(\.path))
    guard names.contains("config.json") else {
      throw Failure(
        .unsupported, snapshot.repository, at: "revision \(snapshot.revision)",
        "has weights but no config.json: it is an adapter or of another layout",
        remedy: "Pull the model itself")
    }
    var shards: [String] = []
    if names.contains(single) {
      shards = [single]
    } else if let index {
      shards = try listed(index, snapshot, names)
    }
    let wanted = companions.union(shards)
    let selected = snapshot.files.filter { wanted.contains($0.path) }
    return Selection(
      kind: .safetensors, files: inOrder(selected),
      leftOut: snapshot.files.filter { !wanted.contains($0.path) })
  }

  private static func listed(_ index: JSONValue, _ snapshot: Snapshot, _ names: Set<String>)
    throws(Failure) -> [String]
  {
    var shards: Set<String> = []
    for (_, value) in index["weight_map"]?.object?.members ?? [] {
      if let shard = value.string { shards.insert(shard) }
    }
    guard !shards.isEmpty else {
      throw Failure(
        .malformed, snapshot.repository, at: Self.index, "lists no shards",
        remedy: "The repository is incomplete: try another revision")
    }
    if let missing = shards.sorted().first(where: { !names.contains($0) }) {
      throw Failure(
        .notFound, snapshot.repository, at: missing,
        "is listed in \(Self.index) and not in the repository",
        remedy: "The repository is incomplete: try another revision")
    }
    return shards.sorted()
  }

  /// Small files first, so that a wrong model shows early; weights by name.
  static func inOrder(_ files: [RepositoryFile]) -> [RepositoryFile] {
    func isWeight(_ file: RepositoryFile) -> Bool {
      file.path.hasSuffix(".safetensors") || file.path.hasSuffix(".gguf")
    }
    return files.filter { !isWeight($0) }.sorted { $0.path < $1.path }
      + files.filter(isWeight).sorted { $0.path < $1.path }
  }

  /// A repository that has nothing to run.
  static func nothing(in snapshot: Snapshot) -> Failure {
    let old = snapshot.files.first { file in
      [".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx"].contains {
        file.path.hasSuffix($0)
      }
    }
    if let old {
      return Failure(
        .unsupported, snapshot.repository, at: "revision \(snapshot.revision)",
        "has neither safetensors nor GGUF weights, only others such as \(old.path)",
        remedy: "Look for a safetensors or GGUF version of the model")
    }
    return Failure(
      .unsupported, snapshot.repository, at: "revision \(snapshot.revision)",
      "has no weights among its \(snapshot.files.count) files",
      remedy: "Check that this is a model's repository")
  }

  /// What is left out, in a line: `README.md, 3 pictures, …`.
  public var leftOutText: String? {
    guard !leftOut.isEmpty else { return nil }
    let bytes = leftOut.reduce(0) { $0 + ($1.size ?? 0) }
    let largest = leftOut.sorted { (($1.size ?? 0), $0.path) < (($0.size ?? 0), $1.path) }
    let more = leftOut.count > 4 ? " and \(leftOut.count - 4) more" : ""
    return "left out \(ByteCount.format(bytes)): "
      + largest.prefix(4).map(\.path).joined(separator: ", ") + more
  }
}
