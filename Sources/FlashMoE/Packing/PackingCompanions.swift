import Checkpoints
import Support
import Tokenization
import WeightStore

/// The small files a store carries beside the weights.
enum PackingCompanions {
  private static let limitBytes = 1 << 28

  static func collect(_ checkpoint: Checkpoint, warnings: inout [String]) throws(Failure)
    -> [PackPlan.Companion]
  {
    let companions =
      checkpoint.kind == .gguf ? try fromGGUF(checkpoint) : try fromDirectory(checkpoint)
    if !companions.contains(where: { $0.name == "tokenizer.json" }) {
      warnings.append(
        "no tokenizer.json in \(checkpoint.path): the store takes and gives token ids only")
    }
    return companions
  }

  private static func fromDirectory(_ checkpoint: Checkpoint) throws(Failure)
    -> [PackPlan.Companion]
  {
    var companions: [PackPlan.Companion] = []
    let names = [
      "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja",
    ]
    for name in names {
      guard let path = checkpoint.companion(name) else { continue }
      let bytes = try FileSystem.readBytes(path, limitBytes: limitBytes)
      companions.append(PackPlan.Companion(name: name, bytes: bytes))
    }
    if checkpoint.companion("tokenizer.json") == nil,
      let path = checkpoint.companion("tokenizer.model")
    {
      let configuration = try checkpoint.companion("tokenizer_config.json").map {
        (path) throws(Failure) in try FileSystem.readJSON(path, limitBytes: limitBytes)
      }
      let json = try SentencePieceModel.tokenizerJSON(
        try FileSystem.readBytes(path, limitBytes: limitBytes),
        configuration: configuration ?? .null, subject: path)
      companions.append(
        PackPlan.Companion(name: "tokenizer.json", bytes: Array(json.serialized().utf8)))
    }
    let named = try templates(in: checkpoint)
    if checkpoint.companion(ModelChat.templateFile) == nil, let text = named["default"] {
      companions.append(template(ModelChat.templateFile, text))
    }
    if let text = named["tool_use"] {
      companions.append(template(ModelChat.toolTemplateFile, text))
    }
    return companions
  }

  /// Chat templates that stand inside a JSON file, by name.
  private static func templates(in checkpoint: Checkpoint) throws(Failure) -> [String: String] {
    for name in ["chat_template.json", "tokenizer_config.json"] {
      guard let path = checkpoint.companion(name) else { continue }
      let named = ModelChat.named(try FileSystem.readJSON(path, limitBytes: limitBytes))
      if !named.isEmpty { return named }
    }
    return [:]
  }

  private static func template(_ name: String, _ text: String) -> PackPlan.Companion {
    PackPlan.Companion(name: name, bytes: Array(text.utf8))
  }

  private static func fromGGUF(_ checkpoint: Checkpoint) throws(Failure) -> [PackPlan.Companion] {
    let metadata = checkpoint.metadata
    var companions: [PackPlan.Companion] = []
    if metadata["tokenizer.ggml.model"] != nil {
      let json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: checkpoint.path)
      companions.append(
        PackPlan.Companion(name: "tokenizer.json", bytes: Array(json.serialized().utf8)))
      let configuration = try GGUFVocabulary.tokenizerConfiguration(
        metadata: metadata, subject: checkpoint.path)
      companions.append(
        PackPlan.Companion(
          name: "tokenizer_config.json", bytes: Array(configuration.serialized().utf8)))
    }
    for (key, name) in [
      ("tokenizer.chat_template", ModelChat.templateFile),
      ("tokenizer.chat_template.tool_use", ModelChat.toolTemplateFile),
    ] {
      if let text = metadata[key]?.string { companions.append(template(name, text)) }
    }
    return companions
  }
}
