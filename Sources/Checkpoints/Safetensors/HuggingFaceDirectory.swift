import Support

/// A Hugging Face model directory: `config.json` beside one or several safetensors files.
struct HuggingFaceDirectory {
  let config: JSONValue
  let files: [WeightFile]
  let tensors: [String: TensorDescription]
  let metadata: JSONObject

  static let singleFileName = "model.safetensors"

  init(_ directory: String) throws(Failure) {
    let configPath = directory + "/config.json"
    config = try FileSystem.readJSON(configPath, limitBytes: 1 << 26)
    guard config.object != nil else {
      throw Failure(.malformed, configPath, "must hold a JSON object")
    }

    // transformers looks for the single file first, and so do we: one left behind beside shards
    // must not mean two different models to two programs.
    let single = directory + "/" + Self.singleFileName
    var index: ShardIndex?
    var names = [Self.singleFileName]
    if !FileSystem.exists(single) {
      guard FileSystem.exists(directory + "/" + ShardIndex.fileName) else {
        throw Self.noWeights(in: directory)
      }
      let found = try ShardIndex(directory: directory)
      names = found.shards
      index = found
    }

    var files: [WeightFile] = []
    var tensors: [String: TensorDescription] = [:]
    var metadata = JSONObject()
    for (at, name) in names.enumerated() {
      let path = directory + "/" + name
      if let index, !FileSystem.exists(path) {
        throw Failure(
          .notFound, path,
          "this shard is missing (\(index.shards.count) are listed in \(ShardIndex.fileName))",
          remedy: "Download it into the same directory")
      }
      let file = try WeightFile(path)
      let header = try SafetensorsHeader(file, fileIndex: at)
      for tensor in header.tensors {
        if let other = tensors.updateValue(tensor, forKey: tensor.name) {
          throw Failure(
            .malformed, path, at: "tensor \(TensorPlacement.printable(tensor.name))",
            "stands twice: \(names[other.file]) holds it too",
            remedy: "Download the checkpoint again into an empty directory")
        }
      }
      if at == 0 { metadata = header.metadata }
      files.append(file)
    }
    try index?.check(tensors)
    self.files = files
    self.tensors = tensors
    self.metadata = metadata
  }

  private static func noWeights(in directory: String) -> Failure {
    let names = (try? FileSystem.list(directory)) ?? []
    let old = names.first { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") || $0.hasSuffix(".pth") }
    if let old {
      return Failure(
        .unsupported, directory,
        "no \(singleFileName) and no \(ShardIndex.fileName), only pickled weights such as \(old)",
        remedy: "Convert them with save_pretrained(…, safe_serialization=True)")
    }
    return Failure(
      .notFound, directory, "no \(singleFileName) and no \(ShardIndex.fileName)",
      remedy: "Download the checkpoint's weights into this directory")
  }
}
