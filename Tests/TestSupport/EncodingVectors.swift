import Support

/// llama.cpp's tokenizer vectors: texts in `BASE.inp`, a line of ids for each in `BASE.out`.
public enum EncodingVectors {
  private static let separator = Array("\n__ggml_vocab_test__\n".utf8)

  /// - Throws: `Failure(.malformed)` when there are suspiciously few texts, or fewer lines of ids.
  public static func read(_ base: String) throws(Failure) -> [(text: String, ids: [Int32])] {
    let texts = parts(try FileSystem.readBytes(base + ".inp"))
    let lines = try FileSystem.readText(base + ".out").split(
      separator: "\n", omittingEmptySubsequences: false)
    guard texts.count > 40, lines.count >= texts.count else {
      throw Failure(.malformed, base, "\(texts.count) texts and \(lines.count) lines of ids")
    }
    return zip(texts, lines).map { text, line in
      (text, line.split(separator: " ").compactMap { Int32($0) })
    }
  }

  /// Splits by bytes: to `String`, a carriage return and the line feed behind it are one character.
  private static func parts(_ bytes: [UInt8]) -> [String] {
    var parts: [String] = []
    var start = 0
    var at = 0
    while at < bytes.count {
      if bytes[at...].starts(with: separator) {
        parts.append(String(decoding: bytes[start..<at], as: UTF8.self))
        at += separator.count
        start = at
      } else {
        at += 1
      }
    }
    return parts + [String(decoding: bytes[start...], as: UTF8.self)]
  }
}
