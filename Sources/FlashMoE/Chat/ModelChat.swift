import ChatTemplates
import Support
import WeightStore

/// How a model wants to be talked to: its chat templates and the special tokens they write.
///
/// It is read from a store or from a checkpoint's directory: `chat_template.jinja`, or
/// `chat_template` of `chat_template.json` or `tokenizer_config.json`, where it may be one text or
/// several with names.
public struct ModelChat: Sendable {
  public static let templateFile = "chat_template.jinja"
  /// For conversations with tools, where a model has two templates.
  public static let toolTemplateFile = "chat_template_tool_use.jinja"

  public let template: ChatTemplate
  public let toolTemplate: ChatTemplate?
  /// `bos_token`, `eos_token`, … as tokenizer_config.json names them.
  public let specialTokens: JSONObject

  public init(
    template: ChatTemplate, toolTemplate: ChatTemplate? = nil, specialTokens: JSONObject = [:]
  ) {
    self.template = template
    self.toolTemplate = toolTemplate
    self.specialTokens = specialTokens
  }

  /// A store's templates, or nil where it has none.
  public init?(store: Store) throws(Failure) {
    try self.init(subject: store.path) { (name) throws(Failure) in try store.companion(name) }
  }

  /// The templates of a checkpoint's directory, or nil where it has none.
  public init?(directory: String) throws(Failure) {
    try self.init(subject: directory) { (name) throws(Failure) in
      let path = directory + "/" + name
      return FileSystem.exists(path)
        ? try FileSystem.readBytes(path, limitBytes: Self.limitBytes) : nil
    }
  }

  private static let limitBytes = 64 << 20

  private init?(subject: String, _ read: (String) throws(Failure) -> [UInt8]?) throws(Failure) {
    func path(_ name: String) -> String { subject + "/" + name }
    var configuration = JSONValue.null
    if let bytes = try read("tokenizer_config.json") {
      configuration = try JSONValue.parse(bytes, subject: path("tokenizer_config.json"))
    }
    var sources: [String: ChatTemplate] = [:]
    for (name, key) in [(Self.templateFile, "default"), (Self.toolTemplateFile, "tool_use")] {
      guard let bytes = try read(name) else { continue }
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw Failure(.malformed, path(name), "not UTF-8 text")
      }
      sources[key] = try ChatTemplate(text, name: path(name))
    }
    if sources["default"] == nil {
      var found = Self.named(configuration)
      var file = "tokenizer_config.json"
      if let bytes = try read("chat_template.json") {
        let inner = Self.named(try JSONValue.parse(bytes, subject: path("chat_template.json")))
        if !inner.isEmpty {
          found = inner
          file = "chat_template.json"
        }
      }
      for (key, text) in found where sources[key] == nil {
        guard key == "default" || key == "tool_use" else { continue }
        sources[key] = try ChatTemplate(text, name: path(file))
      }
    }
    guard let template = sources["default"] ?? sources["tool_use"] else { return nil }
    self.init(
      template: template, toolTemplate: sources["tool_use"],
      specialTokens: Self.specialTokens(configuration))
  }

  /// The templates inside a JSON file by name; a single one is `default`.
  public static func named(_ document: JSONValue) -> [String: String] {
    let value = document["chat_template"]
    if let text = value?.string { return ["default": text] }
    var result: [String: String] = [:]
    for entry in value?.array ?? [] {
      if let name = entry["name"]?.string, let text = entry["template"]?.string {
        result[name] = text
      }
    }
    return result
  }

  /// The special tokens of a store, with or without a template.
  public static func specialTokens(of store: Store) throws(Failure) -> JSONObject {
    guard let bytes = try store.companion("tokenizer_config.json") else { return [:] }
    return specialTokens(
      try JSONValue.parse(bytes, subject: store.filePath("tokenizer_config.json")))
  }

  /// The special tokens that tokenizer_config.json names, as `transformers` hands them to a
  /// template: strings, or objects with their `content`.
  public static func specialTokens(_ configuration: JSONValue) -> JSONObject {
    var tokens = JSONObject()
    for name in [
      "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ] {
      if let text = text(configuration[name]) { tokens[name] = .string(text) }
    }
    let more = (configuration["additional_special_tokens"]?.array ?? []).compactMap(text)
    if !more.isEmpty { tokens["additional_special_tokens"] = .array(more.map { .string($0) }) }
    return tokens
  }

  private static func text(_ token: JSONValue?) -> String? {
    token?.string ?? token?["content"]?.string
  }

  /// The template for a conversation with these arguments.
  public func template(for arguments: JSONObject) -> ChatTemplate {
    guard let toolTemplate, let tools = arguments["tools"], !tools.isNull else { return template }
    return toolTemplate
  }

  /// The prompt of a conversation.
  ///
  /// - Parameters:
  ///   - messages: a list of objects with `role`, `content`, …
  ///   - arguments: every other variable of the template.
  ///   - specialTokens: instead of the model's own.
  /// - Throws: what the template throws (`ChatTemplate.render`).
  public func render(
    _ messages: JSONValue, arguments: JSONObject, specialTokens: JSONObject? = nil,
    clock: CivilTime? = nil
  ) throws(Failure) -> String {
    try template(for: arguments).render(
      ChatTemplateInput(
        messages: messages, arguments: arguments,
        specialTokens: specialTokens ?? self.specialTokens, clock: clock))
  }
}
