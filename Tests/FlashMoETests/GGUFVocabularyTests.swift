import Checkpoints
import Support
import TestSupport
import Testing
import Tokenization

/// llama.cpp's vocabulary files and vectors, where they are at hand (they are not ours to commit).
@Suite struct GGUFVocabularyTests {
  private static let packageRoot = String(
    #filePath.dropLast("/Tests/FlashMoETests/GGUFVocabularyTests.swift".count))

  private static var folder: String? {
    for prefix in ["/..", "/../.."] {
      let path = packageRoot + prefix + "/shared/tokenizers/llama.cpp-vocab"
      if FileSystem.isDirectory(path) { return path }
    }
    print("tokenizers/llama.cpp-vocab is not here: its vectors are not run")
    return nil
  }

  @Test(arguments: [
    "deepseek-llm", "deepseek-coder", "gpt-2", "llama-spm", "phi-3", "qwen2", "refact", "starcoder",
  ])
  func vectors(_ name: String) throws {
    guard let folder = Self.folder else { return }
    let path = folder + "/ggml-vocab-\(name).gguf"
    guard FileSystem.exists(path) else {
      print("\(path) is not here: its vectors are not run")
      return
    }
    let metadata = try Checkpoint.open(path).metadata
    let json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: path)
    let tokenizer = try Tokenizer(json: json, subject: path)
    for (text, ids) in try EncodingVectors.read(path) {
      #expect(try tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
  }
}
