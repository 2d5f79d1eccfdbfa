import Checkpoints
import Support

/// One architecture: how its configuration is read and where its tensors are.
public protocol ModelFamily: Sendable {
  /// `model_type` values of `config.json` that mean this family.
  static var modelTypes: [String] { get }
  /// `general.architecture` values of GGUF files that mean this family.
  static var ggufArchitectures: [String] { get }
  /// Reads a configuration in its published or its transformers 5 spelling.
  static func configuration(_ config: JSONValue, subject: String) throws(Failure)
    -> ModelConfiguration
  /// Turns a GGUF file's metadata into the family's `config.json`.
  static func config(fromGGUF model: GGUFModel) throws(Failure) -> JSONValue
  /// The tensors, named as checkpoints of `form` name them.
  static func catalog(_ configuration: ModelConfiguration, form: CheckpointForm) -> TensorCatalog
}

public enum ModelRegistry {
  public static let families: [any ModelFamily.Type] = [
    Qwen2MoE.self, Qwen3MoE.self, Mixtral.self, OLMoE.self, GraniteMoE.self, PhiMoE.self,
    GLM4MoE.self, GPTOSS.self,
    DeepSeekV2.self, DeepSeekV3.self, Qwen3Next.self, Qwen35MoE.self,
  ]

  public static func family(modelType: String, subject: String) throws(Failure)
    -> any ModelFamily.Type
  {
    for family in families where family.modelTypes.contains(modelType) { return family }
    let known = families.flatMap { $0.modelTypes }.joined(separator: ", ")
    throw Failure(
      .unsupported, subject, at: "\"model_type\"",
      "\"\(modelType)\" is not a known architecture (known: \(known))")
  }

  public static func family(ggufArchitecture: String, subject: String) throws(Failure)
    -> any ModelFamily.Type
  {
    for family in families where family.ggufArchitectures.contains(ggufArchitecture) {
      return family
    }
    let known = families.flatMap { $0.ggufArchitectures }.joined(separator: ", ")
    throw Failure(
      .unsupported, subject, at: "general.architecture",
      "\"\(ggufArchitecture)\" is not a known architecture (known: \(known))")
  }

  /// The family and configuration a `config.json` document describes.
  public static func read(_ config: JSONValue, subject: String) throws(Failure) -> (
    family: any ModelFamily.Type, configuration: ModelConfiguration
  ) {
    guard let modelType = config["model_type"]?.string else {
      throw Failure(.malformed, subject, at: "\"model_type\"", "is missing")
    }
    let family = try family(modelType: modelType, subject: subject)
    return (family, try family.configuration(config, subject: subject))
  }

  /// The `config.json` of a checkpoint: its own, or one made from a GGUF file's metadata.
  public static func config(of checkpoint: Checkpoint) throws(Failure) -> (
    config: JSONValue, subject: String
  ) {
    switch checkpoint.kind {
    case .huggingFace: return (checkpoint.config, checkpoint.path + "/config.json")
    case .gguf:
      guard let architecture = checkpoint.metadata["general.architecture"]?.string else {
        throw Failure(.malformed, checkpoint.path, at: "general.architecture", "is missing")
      }
      let family = try family(ggufArchitecture: architecture, subject: checkpoint.path)
      return (
        try family.config(fromGGUF: GGUFModel(checkpoint, architecture: architecture)),
        checkpoint.path
      )
    }
  }
}
