import Checkpoints
import FlashMoE
import Support
import WeightStore

/// One model in the models directory.
public struct InstalledModel: Sendable, Equatable {
  public enum Kind: String, Sendable {
    case store, checkpoint
    /// A download or a pack that was interrupted; the same command goes on.
    case unfinished
  }

  /// What commands take: the path below the models directory, without `.fmoe`.
  public var name: String
  public var kind: Kind
  /// Everything that belongs to it and goes with it.
  public var paths: [String]
  public var path: String { paths.first ?? "" }
  /// Bytes it takes on the disk.
  public var bytes: Int
  /// Seconds since 1970.
  public var modified: Int
  /// `q4`, `bf16`, `GGUF Q4_0`, …: how experts are stored, where that can be read.
  public var scheme: String?
  /// `qwen3_moe`, …
  public var family: String?
}

extension ModelLibrary {
  /// Everything in the models directory, by name.
  public func list() throws(Failure) -> [InstalledModel] {
    guard FileSystem.isDirectory(path) else { return [] }
    var models: [InstalledModel] = []
    for entry in try FileSystem.list(path) where !entry.hasPrefix(".") {
      let first = path + "/" + entry
      guard FileSystem.isDirectory(first) else { continue }
      let own = try describe(first, name: entry)
      models += own
      guard own.isEmpty, !Self.isWork(entry) else { continue }
      for inner in try FileSystem.list(first) where !inner.hasPrefix(".") {
        guard FileSystem.isDirectory(first + "/" + inner) else { continue }
        models += try describe(first + "/" + inner, name: entry + "/" + inner)
      }
    }
    return models.sorted { ($0.name, $0.kind.rawValue) < ($1.name, $1.kind.rawValue) }
  }

  /// The path of the store with this name: `ORG/NAME`, or `NAME` where no other ends so.
  public func store(named name: String) throws(Failure) -> String? {
    let found = try models(named: name)
    let stores = found.filter { $0.kind == .store }
    if stores.count > 1 { throw Self.ambiguous(name, stores) }
    if let store = stores.first { return store.path }
    guard let other = found.first else { return nil }
    throw Failure(
      .notFound, name,
      other.kind == .checkpoint ? "is a checkpoint, and a store is needed" : "is not complete yet",
      remedy: other.kind == .checkpoint
        ? "Pack it: flashmoe pack \(other.path) -o \(path)/\(other.name).fmoe"
        : "Give the command that began it once more")
  }

  /// All that a name on the command line may mean; full names win over last parts.
  public func models(named name: String) throws(Failure) -> [InstalledModel] {
    guard !name.isEmpty, !name.hasPrefix("/"), !name.hasPrefix(".") else { return [] }
    let wanted = name.hasSuffix(Self.storeSuffix) ? String(name.dropLast(5)) : name
    let all = try list()
    let exact = all.filter { $0.name == wanted }
    return exact.isEmpty ? all.filter { FileSystem.name(of: $0.name) == wanted } : exact
  }

  public static func ambiguous(_ name: String, _ found: [InstalledModel]) -> Failure {
    Failure(
      .usage, name,
      "means several: "
        + found.map { "\($0.name) (\($0.kind.rawValue))" }
        .joined(separator: ", "), remedy: "Give the whole name, or the path")
  }

  /// Removes a model and the organization's directory when nothing else is in it.
  public func remove(_ model: InstalledModel) throws(Failure) {
    for path in model.paths { try FileSystem.remove(path) }
    let parent = FileSystem.parent(of: model.path)
    guard parent != path, parent.hasPrefix(path + "/"), try FileSystem.list(parent).isEmpty else {
      return
    }
    try FileSystem.remove(parent)
  }

  static let storeSuffix = ".fmoe"
  private static let workSuffixes = [".fmoe.pull", ".fmoe.partial"]

  private static func isWork(_ name: String) -> Bool {
    workSuffixes.contains { name.hasSuffix($0) }
  }

  private func describe(_ directory: String, name: String) throws(Failure) -> [InstalledModel] {
    if let suffix = Self.workSuffixes.first(where: { directory.hasSuffix($0) }) {
      let stem = String(directory.dropLast(suffix.count))
      let pair = Self.workSuffixes.map { stem + $0 }.filter { FileSystem.isDirectory($0) }
      // Both directories are one model; the first of them tells.
      guard pair.first == directory else { return [] }
      return [
        try model(String(name.dropLast(suffix.count)), .unfinished, pair)
      ]
    }
    if FileSystem.exists(directory + "/" + Manifest.fileName) {
      let short = name.hasSuffix(Self.storeSuffix) ? String(name.dropLast(5)) : name
      var found = try model(short, .store, [directory])
      if let store = try? Store(opening: directory) {
        found.scheme = Self.schemes(store.manifest)
        found.family = store.manifest.config["model_type"]?.string
      }
      return [found]
    }
    let names = try FileSystem.list(directory)
    guard !names.contains(where: { $0.hasSuffix(".part") }) else {
      return [try model(name, .unfinished, [directory])]
    }
    if names.contains("config.json") {
      var found = try model(name, .checkpoint, [directory])
      let config = try? FileSystem.readJSON(directory + "/config.json", limitBytes: 1 << 26)
      found.family = (config?["model_type"] ?? config?["text_config"]?["model_type"])?.string
      found.scheme = (config?["dtype"] ?? config?["torch_dtype"])?.string
      return [found]
    }
    guard names.contains(where: { $0.hasSuffix(".gguf") }) else {
      return names.contains(PullDirectory.recordName)
        ? [try model(name, .unfinished, [directory])] : []
    }
    var found = try model(name, .checkpoint, [directory])
    let labels = Set(names.filter { $0.hasSuffix(".gguf") }.map { GGUFFiles.stem($0).stem })
      .sorted().map { GGUFFiles.label($0) ?? $0 }
    found.scheme = "GGUF " + labels.joined(separator: ", ")
    return [found]
  }

  private static func schemes(_ manifest: Manifest) -> String? {
    var schemes: [String] = []
    for layer in manifest.layers {
      for section in layer.record.sections where !schemes.contains(section.layout.scheme.rawValue) {
        schemes.append(section.layout.scheme.rawValue)
      }
    }
    return schemes.isEmpty ? nil : schemes.joined(separator: ", ")
  }

  private func model(_ name: String, _ kind: InstalledModel.Kind, _ paths: [String])
    throws(Failure) -> InstalledModel
  {
    var bytes = 0
    var modified = 0
    for path in paths { try Self.measure(path, &bytes, &modified) }
    return InstalledModel(name: name, kind: kind, paths: paths, bytes: bytes, modified: modified)
  }

  private static func measure(_ path: String, _ bytes: inout Int, _ modified: inout Int)
    throws(Failure)
  {
    for name in try FileSystem.list(path) {
      let entry = path + "/" + name
      if FileSystem.isDirectory(entry) {
        try measure(entry, &bytes, &modified)
      } else if let facts = FileFacts(entry) {
        bytes += facts.allocated
        modified = max(modified, facts.modifiedNanoseconds / 1_000_000_000)
      }
    }
  }
}
