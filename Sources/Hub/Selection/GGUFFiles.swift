import Support

/// The GGUF models of a repository: one for each quantization, some of them split.
struct GGUFFiles {
  struct Model: Sendable, Equatable {
    /// The name all its parts share, without folder and ending.
    let stem: String
    let folder: String
    let label: String?
    var files: [RepositoryFile]
    /// Parts that the names promise; 1 where the model is not split.
    let partCount: Int

    var bytes: Int { files.reduce(0) { $0 + ($1.size ?? 0) } }
    var shown: String { "\(label ?? stem) (\(ByteCount.format(bytes)))" }
  }

  let models: [Model]

  init(_ snapshot: Snapshot) {
    var models: [Model] = []
    for file in snapshot.files.sorted(by: { $0.path < $1.path }) {
      guard file.path.lowercased().hasSuffix(".gguf"), !Self.isHelper(file.path) else { continue }
      let folder = file.path.contains("/") ? FileSystem.parent(of: file.path) : ""
      let (stem, count) = Self.stem(FileSystem.name(of: file.path))
      if let at = models.firstIndex(where: {
        $0.stem == stem && $0.folder == folder && $0.partCount == count && count > 1
      }) {
        models[at].files.append(file)
      } else {
        let label = Self.label(stem) ?? Self.label(FileSystem.name(of: folder))
        models.append(
          Model(stem: stem, folder: folder, label: label, files: [file], partCount: count))
      }
    }
    self.models = models
  }

  /// Projectors of vision models and importance matrices are no models.
  private static func isHelper(_ path: String) -> Bool {
    let name = FileSystem.name(of: path).lowercased()
    return name.hasPrefix("mmproj") || name.contains("imatrix")
  }

  /// `model-Q4_0-00001-of-00003.gguf` is part of `model-Q4_0`.
  static func stem(_ name: String) -> (stem: String, partCount: Int) {
    let stem = String(name.dropLast(5))
    let parts = stem.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[parts.count - 2] == "of", let count = Int(parts[parts.count - 1]),
      parts[parts.count - 1].count == 5, parts[parts.count - 3].count == 5,
      Int(parts[parts.count - 3]) != nil, count > 0
    else { return (stem, 1) }
    return (parts.dropLast(3).joined(separator: "-"), count)
  }

  /// The quantization at the end of a name: `Q4_0`, `IQ4_XS`, `UD-Q4_K_XL`, `BF16`.
  static func label(_ stem: String) -> String? {
    let upper = stem.uppercased()
    var words = upper.split { $0 == "-" || $0 == "." }.map(String.init)
    guard let last = words.popLast(), isQuantization(last) else { return nil }
    return words.last == "UD" ? "UD-" + last : last
  }

  private static func isQuantization(_ word: String) -> Bool {
    if ["F32", "F16", "FP16", "BF16", "FP32"].contains(word) { return true }
    for prefix in ["IQ", "TQ", "Q", "MXFP"] where word.hasPrefix(prefix) {
      let rest = word.dropFirst(prefix.count)
      guard let digit = rest.first, digit.isNumber else { continue }
      let tail = rest.dropFirst()
      return tail.isEmpty || tail.first == "_"
    }
    return false
  }

  /// The model whose quantization is `tag`; nil where none is.
  ///
  /// - Throws: `Failure` when several are.
  func model(_ tag: String, of snapshot: Snapshot) throws(Failure) -> Model? {
    let wanted = tag.uppercased()
    func isAt(_ end: Model) -> Bool {
      let stem = end.stem.uppercased()
      return stem == wanted || stem.hasSuffix("-" + wanted) || stem.hasSuffix("." + wanted)
        || end.folder.uppercased() == wanted
    }
    let exact = models.filter { $0.label == wanted }
    let found = exact.isEmpty ? models.filter(isAt) : exact
    if found.count > 1 {
      throw Failure(
        .usage, "\(snapshot.repository):\(tag)",
        "means several: "
          + found.map { "\($0.stem) (\(ByteCount.format($0.bytes)))" }
          .joined(separator: ", "),
        remedy: "Name one of them after the colon")
    }
    return found.first
  }

  /// The one model there is.
  func only(of snapshot: Snapshot) throws(Failure) -> Model {
    guard let first = models.first else { throw Selection.nothing(in: snapshot) }
    guard models.count == 1 else {
      throw Failure(
        .usage, snapshot.repository, "has \(models.count) quantizations: \(list)",
        remedy: "Name one, for example \(snapshot.repository):\(first.label ?? first.stem)")
    }
    return first
  }

  var list: String { models.map(\.shown).joined(separator: ", ") }

  static func selection(_ model: Model, of snapshot: Snapshot) throws(Failure) -> Selection {
    guard model.files.count == model.partCount else {
      throw Failure(
        .notFound, snapshot.repository, at: model.stem,
        "\(model.files.count) of \(model.partCount) parts are in the repository",
        remedy: "The repository is incomplete: try another revision or quantization")
    }
    let wanted = Set(model.files.map(\.path))
    return Selection(
      kind: .gguf(quantization: model.label), files: Selection.inOrder(model.files),
      leftOut: snapshot.files.filter { !wanted.contains($0.path) })
  }
}
