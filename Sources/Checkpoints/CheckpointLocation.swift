import Glibc
import Support

/// Decides what a path given by the user points to.
enum CheckpointLocation {
  case huggingFace(directory: String)
  case gguf(file: String)

  init(_ path: String) throws(Failure) {
    guard !path.isEmpty else {
      throw Failure(.usage, "checkpoint", "the path is empty")
    }
    let absolute = Self.absolute(path)
    guard FileSystem.exists(absolute) else {
      throw Failure(
        .notFound, path, "there is no such file or directory",
        remedy: "Give a Hugging Face model directory or a .gguf file")
    }
    if FileSystem.isDirectory(absolute) {
      self = try Self.directory(absolute)
    } else {
      self = try Self.file(absolute)
    }
  }

  private static func directory(_ path: String) throws(Failure) -> CheckpointLocation {
    if FileSystem.exists(path + "/config.json") { return .huggingFace(directory: path) }
    if FileSystem.exists(path + "/manifest.json") {
      throw Failure(
        .unsupported, path, "this is a packed store, not a checkpoint",
        remedy: "Give it to a command that takes a store, such as 'flashmoe run'")
    }
    let found = try FileSystem.list(path).filter { $0.hasSuffix(".gguf") }
    switch found.count {
    case 1: return .gguf(file: path + "/" + found[0])
    case 0:
      throw Failure(
        .notFound, path, "neither config.json nor a .gguf file is in this directory",
        remedy: "Give a Hugging Face model directory or a .gguf file")
    default:
      if let first = GGUFShards.firstPart(found) { return .gguf(file: path + "/" + first) }
      throw Failure(
        .usage, path, "this directory holds \(found.count) .gguf files",
        remedy: "Name one of them, for example \(path)/\(found[0])")
    }
  }

  private static func file(_ path: String) throws(Failure) -> CheckpointLocation {
    if path.hasSuffix(".gguf") { return .gguf(file: path) }
    if path.hasSuffix(".safetensors") || path.hasSuffix(".json") {
      throw Failure(
        .usage, path, "this is one file of a checkpoint, and the whole directory is needed",
        remedy: "Give the directory: \(FileSystem.parent(of: path))")
    }
    // A GGUF under another name (a download cache's, for example) is known by its magic.
    let weights = try WeightFile(path)
    if weights.byteCount >= 4, try weights.bytes(0..<4) == GGUFHeader.magic {
      return .gguf(file: path)
    }
    throw Failure(
      .unsupported, path, "this is neither a Hugging Face model directory nor a GGUF file")
  }

  private static func absolute(_ path: String) -> String {
    var result = path
    if !path.hasPrefix("/"), let current = getcwd(nil, 0) {
      result = String(cString: current) + "/" + path
      free(current)
    }
    while result.utf8.count > 1, result.hasSuffix("/") { result.removeLast() }
    return result
  }
}
