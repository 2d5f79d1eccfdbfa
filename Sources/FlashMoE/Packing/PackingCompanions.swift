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
    if checkpoint.companion("chat_template.jinja") == nil,
      let template = try template(in: checkpoint)
    {
      companions.append(template)
    }
    return companions
  }

  /// A chat template that stands inside a JSON file: one string, or a list of named ones of which
  /// `default` counts.
  private static func template(in checkpoint: Checkpoint) throws(Failure) -> PackPlan.Companion? {
    for name in ["tokenizer_config.json", "chat_template.json"] {
      guard let path = checkpoint.companion(name) else { continue }
      let value = try FileSystem.readJSON(path, limitBytes: limitBytes)["chat_template"]
      let named = value?.array?.first { $0["name"]?.string == "default" }?["template"]
      if let text = value?.string ?? named?.string { return template(text) }
    }
    return nil
  }

  private static func template(_ text: String) -> PackPlan.Companion {
    PackPlan.Companion(name: "chat_template.jinja", bytes: Array(text.utf8))
  }

  private static func fromGGUF(_ checkpoint: Checkpoint) throws(Failure) -> [PackPlan.Companion] {
    let metadata = checkpoint.metadata
    var companions: [PackPlan.Companion] = []
    if metadata["tokenizer.ggml.model"] != nil {
      let json = try GGUFVocabulary.tokenizerJSON(metadata: metadata, subject: checkpoint.path)
      companions.append(
        PackPlan.Companion(name: "tokenizer.json", bytes: Array(json.serialized().utf8)))
    }
    if let text = metadata["tokenizer.chat_template"]?.string { companions.append(template(text)) }
    return companions
  }
}
