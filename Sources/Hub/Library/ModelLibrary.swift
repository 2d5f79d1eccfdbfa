import Support

/// The models directory: `ORG/NAME` for checkpoints, `ORG/NAME.fmoe` for stores.
public struct ModelLibrary: Sendable {
  public static let variable = "FLASHMOE_MODELS"

  public let path: String

  public init(_ path: String) { self.path = path }

  /// `$FLASHMOE_MODELS`, else `flashmoe/models` where this user's data belongs.
  public static func standard() throws(Failure) -> ModelLibrary {
    if let path = Environment.value(variable) { return ModelLibrary(path) }
    // The base directory specification ignores relative paths.
    if let data = Environment.value("XDG_DATA_HOME"), data.hasPrefix("/") {
      return ModelLibrary(data + "/flashmoe/models")
    }
    if let home = Environment.value("HOME") {
      return ModelLibrary(home + "/.local/share/flashmoe/models")
    }
    throw Failure(
      .notFound, "models directory", "neither \(variable) nor HOME is set",
      remedy: "Set \(variable), or give --output")
  }

  /// Where a checkpoint goes.
  public func checkpointPath(_ reference: ModelReference) -> String {
    path + "/" + reference.repository
  }

  /// Where a store goes; quantizations of one repository stand beside each other.
  public func storePath(_ resolution: Resolution) -> String {
    var name = path + "/" + resolution.reference.repository
    if case .gguf(let label?) = resolution.selection.kind, !name.uppercased().hasSuffix("-" + label)
    {
      name += "-" + label
    }
    return name + ".fmoe"
  }
}
