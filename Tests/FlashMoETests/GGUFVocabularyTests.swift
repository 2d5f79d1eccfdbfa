import Checkpoints
import Support
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
    let texts = Self.parts(try FileSystem.readBytes(path + ".inp"), "\n__ggml_vocab_test__\n")
    let lines = try FileSystem.readText(path + ".out").split(
      separator: "\n", omittingEmptySubsequences: false)
    #expect(texts.count > 40 && lines.count >= texts.count)
    for (text, line) in zip(texts, lines) {
      #expect(
        try tokenizer.encode(text) == line.split(separator: " ").compactMap { Int32($0) },
        "\(text.debugDescription)")
    }
  }

  /// Splits by bytes: to `String`, a carriage return and the line feed behind it are one character.
  private static func parts(_ bytes: [UInt8], _ separator: String) -> [String] {
    let wanted = Array(separator.utf8)
    var parts: [String] = []
    var start = 0
    var at = 0
    while at < bytes.count {
      if bytes[at...].starts(with: wanted) {
        parts.append(String(decoding: bytes[start..<at], as: UTF8.self))
        at += wanted.count
        start = at
      } else {
        at += 1
      }
    }
    return parts + [String(decoding: bytes[start...], as: UTF8.self)]
  }
}
