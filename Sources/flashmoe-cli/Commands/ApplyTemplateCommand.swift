import ArgumentParser
import ChatTemplates
import FlashMoE
import Support
import WeightStore

struct ApplyTemplateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply-template",
    abstract: "Print the prompt that a chat template makes of a conversation.",
    discussion: """
      The prompt goes to stdout as it is, without a line end of its own. CASE.json holds an object:

        messages        a list of objects with role, content, tool_calls, …
        arguments       every other variable: add_generation_prompt, tools, …
        special_tokens  bos_token, eos_token, …; else those of the store
        clock           for strftime_now: 2026-01-05T09:07:03; else the time

      A template that refuses the conversation says why on stderr; the exit code is 1.

      Examples:
        flashmoe apply-template qwen3.fmoe --input conversation.json
        flashmoe apply-template chat.jinja --input - < conversation.json
      """)

  @Argument(
    help: ArgumentHelp(
      "A store, a checkpoint's directory, a template (.jinja), or a JSON file with chat_template.",
      valueName: "store|file"),
    completion: .file())
  var source: String

  @Option(
    name: [.customLong("input"), .customShort("i")],
    help: ArgumentHelp("The conversation; '-' is stdin.", valueName: "file"), completion: .file())
  var input: String

  @Option(
    name: .customLong("case"),
    help: ArgumentHelp("Which of several 'cases' in the file.", valueName: "name"))
  var caseName: String?

  @OptionGroup(title: "Output") var common: CommonArguments

  func run() throws {
    let chat = try TemplateSource.read(source)
    let conversation = try ConversationCase(input, named: caseName)
    let prompt = try chat.render(
      conversation.messages, arguments: conversation.arguments,
      specialTokens: conversation.specialTokens, clock: conversation.clock)
    if common.json {
      Output.print(["prompt": .string(prompt)])
    } else {
      Output.write(prompt)
    }
  }
}

/// Where a chat template comes from.
enum TemplateSource {
  static func read(_ path: String) throws(Failure) -> ModelChat {
    guard FileSystem.isDirectory(path) else { return try file(path) }
    let isStore = FileSystem.exists(path + "/" + Manifest.fileName)
    let chat =
      isStore ? try ModelChat(store: try Store(opening: path)) : try ModelChat(directory: path)
    guard let chat else {
      throw Failure(
        .notFound, path, "it has no chat template",
        remedy: "Give a template's file; not every model is made to chat")
    }
    return chat
  }

  /// A template's file, or a JSON file that holds one.
  static func file(_ path: String) throws(Failure) -> ModelChat {
    let text = try TextInput.read(path)
    guard path.hasSuffix(".json") else {
      return ModelChat(template: try ChatTemplate(text, name: path))
    }
    let document = try JSONValue.parse(text, subject: path)
    let named = ModelChat.named(document)
    guard let source = named["default"] ?? named["tool_use"] else {
      throw Failure(.notFound, path, "it has no member 'chat_template'")
    }
    return ModelChat(
      template: try ChatTemplate(source, name: path),
      toolTemplate: try named["tool_use"].map { (text) throws(Failure) in
        try ChatTemplate(text, name: path)
      }, specialTokens: ModelChat.specialTokens(document))
  }
}

/// A conversation and what else a template is rendered with, from a file.
struct ConversationCase {
  let messages: JSONValue
  let arguments: JSONObject
  let specialTokens: JSONObject?
  let clock: CivilTime?

  /// - Parameter name: chooses among the `cases` of a file; what a case has not, the file may have.
  init(_ path: String, named name: String?) throws(Failure) {
    let subject = path == "-" ? "standard input" : path
    let document = try JSONValue.parse(try TextInput.read(path), subject: subject)
    guard document.object != nil else {
      throw Failure(.malformed, subject, "an object with 'messages' is expected")
    }
    let chosen = try Self.choose(document, name, subject)
    func member(_ key: String) -> JSONValue? {
      let value = chosen[key] ?? document[key]
      return value?.isNull == true ? nil : value
    }
    guard let messages = member("messages"), messages.array != nil else {
      throw Failure(.malformed, subject, at: "messages", "a list of messages is expected")
    }
    self.messages = messages
    func object(_ key: String) throws(Failure) -> JSONObject? {
      guard let value = member(key) else { return nil }
      guard let object = value.object else {
        throw Failure(.malformed, subject, at: key, "an object is expected")
      }
      return object
    }
    arguments = try object("arguments") ?? [:]
    specialTokens = try object("special_tokens")
    guard let clock = member("clock") else {
      self.clock = nil
      return
    }
    guard let text = clock.string, let time = CivilTime(text) else {
      throw Failure(
        .malformed, subject, at: "clock", "not a date and time",
        remedy: "Write it like 2026-01-05T09:07:03")
    }
    self.clock = time
  }

  private static func choose(_ document: JSONValue, _ name: String?, _ subject: String)
    throws(Failure) -> JSONValue
  {
    guard let cases = document["cases"]?.array, document["messages"] == nil else {
      if let name { throw Failure(.usage, subject, "there are no cases to choose '\(name)' from") }
      return document
    }
    let names = cases.compactMap { $0["case"]?.string }
    if let name {
      if let found = cases.first(where: { $0["case"]?.string == name }) { return found }
      throw Failure(
        .notFound, subject, "no case '\(name)'",
        remedy: "There are: \(names.prefix(40).joined(separator: ", "))")
    }
    guard cases.count == 1 else {
      throw Failure(
        .usage, subject, "\(cases.count) cases, and none chosen",
        remedy: "Give --case NAME: \(names.prefix(40).joined(separator: ", "))")
    }
    return cases[0]
  }
}
