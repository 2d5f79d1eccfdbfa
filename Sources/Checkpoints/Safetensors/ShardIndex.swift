import Support

/// `model.safetensors.index.json`: which shard holds which tensor.
struct ShardIndex {
  static let fileName = "model.safetensors.index.json"

  let path: String
  /// Plain file names, sorted, each once.
  let shards: [String]
  /// Tensor name to shard name, in document order.
  let weightMap: JSONObject

  init(directory: String) throws(Failure) {
    path = directory + "/" + Self.fileName
    let json = try FileSystem.readJSON(path, limitBytes: 1 << 28)
    guard let map = json["weight_map"]?.object, map.count > 0 else {
      throw Failure(
        .malformed, path, "weight_map is missing or empty",
        remedy: "Download this file again")
    }
    var seen: Set<String> = []
    for (name, value) in map.members {
      let place = "tensor \(TensorPlacement.printable(name))"
      guard let shard = value.string else {
        throw Failure(.malformed, path, at: place, "its shard is not a string")
      }
      guard Self.isPlainFileName(shard) else {
        throw Failure(
          .malformed, path, at: place,
          "the shard \"\(TensorPlacement.printable(shard))\" is not a plain file name",
          remedy: "Shards must lie beside the index")
      }
      guard shard.hasSuffix(".safetensors") else {
        throw Failure(
          .unsupported, path, at: place,
          "the shard \"\(TensorPlacement.printable(shard))\" is not a .safetensors file")
      }
      seen.insert(shard)
    }
    shards = seen.sorted()
    weightMap = map
  }

  private static func isPlainFileName(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count <= 255 && name != "." && name != ".."
      && name.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: "\\") && $0 != 0 }
  }

  /// Checks that each listed tensor is in the shard the index names.
  ///
  /// - Parameter tensors: everything found in the shards, by name; `file` indexes `shards`.
  func check(_ tensors: [String: TensorDescription]) throws(Failure) {
    for (name, value) in weightMap.members {
      let shard = value.string ?? ""
      if let tensor = tensors[name], shards[tensor.file] == shard { continue }
      var problem = "the index puts it into \(shard), which does not hold it"
      if let tensor = tensors[name] { problem += "; \(shards[tensor.file]) does" }
      throw Failure(
        .mismatch, path, at: "tensor \(TensorPlacement.printable(name))", problem,
        remedy: "Index and shards are from different downloads: download them together again")
    }
  }
}
