import ArgumentParser
import FlashMoE
import Support

/// Texts, or token ids, that a command feeds to learn from their routing.
struct FedTexts: ParsableArguments {
  @Option(
    name: [.customShort("f"), .customLong("file"), .customLong("text")],
    help: ArgumentHelp("Text to feed; may stand several times; '-' is stdin.", valueName: "file"),
    completion: .file())
  var files: [String] = []

  @Option(
    help: ArgumentHelp("Token ids instead of a text: 1,2,3.", valueName: "ids"),
    transform: TokenIDs.parse)
  var ids: [Int32]?

  @Option(
    name: [.customShort("n"), .customLong("tokens")],
    help: ArgumentHelp("Tokens of each text at most.", valueName: "n"))
  var tokenLimit: Int?

  mutating func validate() throws {
    guard files.isEmpty != (ids == nil) else {
      throw ValidationError("give a text with -f, or tokens with --ids")
    }
    try NumberArgument.check(tokenLimit, "-n", 1...Int.max)
  }

  /// Reads the files, before an engine is opened for them.
  func read() throws(Failure) -> [(name: String, text: String)] {
    var texts: [(name: String, text: String)] = []
    for path in files { texts.append((FileSystem.name(of: path), try TextInput.read(path))) }
    return texts
  }

  /// The tokens to feed: of the texts that were read, or the ids.
  ///
  /// - Parameter limit: tokens of each text where the user gave no number.
  func tokens(
    of texts: [(name: String, text: String)], engine: Engine, limit: Int = .max
  ) throws(Failure) -> [(name: String, tokens: [Int32])] {
    var tokens: [(name: String, tokens: [Int32])] = ids.map { [("ids", $0)] } ?? []
    for (name, text) in texts {
      tokens.append((name, try engine.encode(.text(text, parsesSpecialTokens: false))))
    }
    let limit = tokenLimit ?? limit
    return tokens.map { (name: $0.name, tokens: Array($0.tokens.prefix(limit))) }
  }
}
