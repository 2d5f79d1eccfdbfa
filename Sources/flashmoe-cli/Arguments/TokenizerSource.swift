import Checkpoints
import FlashMoE
import Support
import Tokenization
import WeightStore

/// A vocabulary by path: a store, a checkpoint's directory, tokenizer.json, tokenizer.model or GGUF.
enum TokenizerSource {
  private static let limitBytes = 256 << 20

  static func read(_ path: String) throws(Failure) -> Tokenizer {
    if FileSystem.isDirectory(path) { return try directory(path) }
    if path.hasSuffix(".gguf") {
      let checkpoint = try Checkpoint.open(path)
      return try Tokenizer(
        json: try GGUFVocabulary.tokenizerJSON(metadata: checkpoint.metadata, subject: path),
        subject: path)
    }
    let beside = try configuration(in: FileSystem.parent(of: path))
    if path.hasSuffix(".model") { return try sentencePiece(path, beside) }
    return try Tokenizer(
      bytes: try FileSystem.readBytes(path, limitBytes: limitBytes), subject: path,
      configuration: beside)
  }

  private static func directory(_ path: String) throws(Failure) -> Tokenizer {
    if FileSystem.exists(path + "/" + Manifest.fileName) {
      if let tokenizer = try Engine.tokenizer(of: try Store(opening: path)) { return tokenizer }
    } else {
      for name in ["tokenizer.json", "tokenizer.model"] where FileSystem.exists(path + "/" + name) {
        return try read(path + "/" + name)
      }
    }
    throw Failure(
      .notFound, path, "it has no tokenizer",
      remedy: "Name a tokenizer.json, a tokenizer.model or a GGUF file")
  }

  private static func sentencePiece(_ path: String, _ configuration: JSONValue) throws(Failure)
    -> Tokenizer
  {
    let json = try SentencePieceModel.tokenizerJSON(
      try FileSystem.readBytes(path, limitBytes: limitBytes), configuration: configuration,
      subject: path)
    return try Tokenizer(json: json, subject: path)
  }

  /// tokenizer_config.json in a directory, where it is.
  private static func configuration(in directory: String) throws(Failure) -> JSONValue {
    let path = (directory.isEmpty ? "." : directory) + "/tokenizer_config.json"
    guard FileSystem.exists(path) else { return .null }
    return try FileSystem.readJSON(path, limitBytes: limitBytes)
  }
}
