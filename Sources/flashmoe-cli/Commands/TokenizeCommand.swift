import ArgumentParser
import Support
import Tokenization

struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Print the token ids of a text.",
    discussion: """
      One line of ids, as 'run --ids' and 'detokenize' take them. Nothing is put around the text \
      unless --add-special is given; special tokens written in it become their ids unless \
      --no-parse-special is given.

      Examples:
        flashmoe tokenize qwen3.fmoe -p "Hello"
        flashmoe tokenize tokenizer.json -f prompt.txt --pieces
      """)

  @Argument(
    help: ArgumentHelp(
      "A store, a checkpoint's directory, tokenizer.json, tokenizer.model or a GGUF file.",
      valueName: "store|tokenizer.json"),
    completion: .file())
  var source: String

  @Option(
    name: [.customShort("p"), .customLong("prompt")], parsing: .unconditional,
    help: ArgumentHelp("The text, taken as it is.", valueName: "text"))
  var prompt: String?

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp("Read the text from a UTF-8 file; '-' is stdin.", valueName: "file"),
    completion: .file())
  var file: String?

  @Flag(help: "Add what the model wants around a text, such as BOS.")
  var addSpecial = false

  @Flag(help: "Special tokens written in the text are ordinary text.")
  var noParseSpecial = false

  @Flag(help: "Print a line for each token: its id and how the vocabulary spells it.")
  var pieces = false

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard (prompt == nil) != (file == nil) else {
      throw ValidationError(
        prompt == nil ? "give -p TEXT or -f FILE" : "give only one of -p and -f")
    }
  }

  func run() throws {
    let tokenizer = try TokenizerSource.read(source)
    let text = if let prompt { prompt } else { try TextInput.read(file ?? "-") }
    func encode(_ addSpecialTokens: Bool) throws(Failure) -> [Int32] {
      try tokenizer.encode(
        text, addSpecialTokens: addSpecialTokens, parseSpecial: !noParseSpecial)
    }
    let ids = try encode(addSpecial)
    let spelled = ids.map { tokenizer.token(of: $0) ?? "" }
    if common.json {
      var document: JSONObject = [
        "ids": .ids(ids), "tokens": .array(spelled.map { .string($0) }),
        "count": .integer(ids.count),
      ]
      let withSpecial = try encode(true)
      if withSpecial != ids { document["ids_with_special"] = .ids(withSpecial) }
      Output.print(document)
    } else if pieces {
      for (id, token) in zip(ids, spelled) {
        Output.print("\(id)\t\(JSONValue.string(token).serialized())")
      }
    } else {
      Output.print(ids.map(String.init).joined(separator: ","))
    }
  }
}

struct DetokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detokenize",
    abstract: "Print the text of token ids.",
    discussion: """
      The text goes to stdout as it is, without a line end of its own.

      Examples:
        flashmoe detokenize qwen3.fmoe 9707,1879
        flashmoe tokenize tokenizer.json -p Hello | flashmoe detokenize tokenizer.json -f -
      """)

  @Argument(
    help: ArgumentHelp(
      "A store, a checkpoint's directory, tokenizer.json, tokenizer.model or a GGUF file.",
      valueName: "store|tokenizer.json"),
    completion: .file())
  var source: String

  @Argument(help: ArgumentHelp("Token ids: 1,2,3 or 1 2 3.", valueName: "ids"))
  var words: [String] = []

  @Option(
    name: [.customShort("f"), .customLong("file")],
    help: ArgumentHelp("Read the ids from a file; '-' is stdin.", valueName: "file"),
    completion: .file())
  var file: String?

  @Flag(help: "Leave special tokens out.")
  var skipSpecial = false

  @OptionGroup(title: "Output") var common: CommonArguments

  mutating func validate() throws {
    guard words.isEmpty != (file == nil) else {
      throw ValidationError(
        words.isEmpty ? "give token ids or -f FILE" : "give only one of ids and -f")
    }
  }

  func run() throws {
    let given = if let file { try TextInput.read(file) } else { words.joined(separator: " ") }
    let subject = file ?? "ids"
    // No tokens are no text; elsewhere an empty list is a mistake.
    let isEmpty = given.allSatisfy { $0.isWhitespace || $0 == "[" || $0 == "]" }
    let ids = isEmpty ? [] : try TokenIDs.parse(given, subject: subject)
    let tokenizer = try TokenizerSource.read(source)
    let text = try tokenizer.decode(ids, skipSpecialTokens: skipSpecial)
    if common.json {
      Output.print(["text": .string(text), "ids": .ids(ids)])
    } else {
      Output.write(text)
    }
  }
}
