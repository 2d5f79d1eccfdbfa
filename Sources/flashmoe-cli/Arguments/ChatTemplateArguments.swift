import ArgumentParser
import ChatTemplates
import FlashMoE
import Support
import WeightStore

/// Which chat template writes the turns, and what it is told.
struct ChatTemplateArguments: ParsableArguments {
  enum Reasoning: String, ExpressibleByArgument, CaseIterable {
    case on, off, auto
  }

  @Option(
    name: [.customLong("chat-template"), .customLong("chat-template-file")],
    help: ArgumentHelp("A template instead of the model's own.", valueName: "file"),
    completion: .file())
  var templateFile: String?

  @Option(
    name: .customLong("chat-template-kwargs"),
    help: ArgumentHelp(
      "Variables of the template as a JSON object: '{\"reasoning_effort\": \"low\"}'.",
      valueName: "json"),
    transform: Self.parse)
  var variables: JSONObject?

  @Option(
    help: ArgumentHelp(
      "Whether a model that can think first does so; 'auto' is as the template has it.",
      valueName: "on|off|auto"))
  var reasoning = Reasoning.auto

  private static func parse(_ text: String) throws -> JSONObject {
    let value: JSONValue
    do throws(Failure) {
      value = try JSONValue.parse(text, subject: "--chat-template-kwargs")
    } catch {
      throw ValidationError(error.problem)
    }
    guard let object = value.object else { throw ValidationError("a JSON object is expected") }
    return object
  }

  /// Variables of the template. Models call thinking by one of two names.
  var arguments: JSONObject {
    var result = JSONObject()
    if reasoning != .auto {
      for name in ["enable_thinking", "thinking"] { result[name] = .bool(reasoning == .on) }
    }
    for (name, value) in variables?.members ?? [] { result[name] = value }
    return result
  }

  /// The template that was named, or the store's; nil where there is neither.
  func chat(of store: Store) throws(Failure) -> ModelChat? {
    guard let templateFile else { return try ModelChat(store: store) }
    let named = try TemplateSource.file(templateFile)
    let own = try ModelChat.specialTokens(of: store)
    return ModelChat(
      template: named.template, toolTemplate: named.toolTemplate, specialTokens: own)
  }
}
