import Support

/// A GGUF model: one file, or all parts of one that is split.
///
/// llama.cpp's names end in `-00001-of-00003.gguf`; any of the parts may be given.
struct GGUFShards {
  let files: [WeightFile]
  let tensors: [String: TensorDescription]
  /// Of the first part, which has what concerns the whole model.
  let metadata: JSONObject

  init(_ path: String) throws(Failure) {
    let given = try WeightFile(path)
    let header = try GGUFHeader(given)
    guard let split = header.split else {
      files = [given]
      tensors = header.tensors
      metadata = header.metadata
      return
    }
    guard let stem = Self.stem(path, number: split.number + 1, count: split.count) else {
      throw Failure(
        .mismatch, path, at: "key split.no",
        "this is part \(split.number + 1) of a GGUF split into \(split.count) files, but its name "
          + "does not end in \(Self.ending(split.number + 1, split.count))",
        remedy: "Give the parts the names they were published with")
    }
    var files: [WeightFile] = []
    var tensors: [String: TensorDescription] = [:]
    var metadata = JSONObject()
    for number in 0..<split.count {
      let partPath = stem + Self.ending(number + 1, split.count)
      guard FileSystem.exists(partPath) else {
        throw Failure(
          .notFound, partPath, "this part of \(split.count) is missing",
          remedy: "Download it into the same directory")
      }
      let file = try WeightFile(partPath)
      let part = try GGUFHeader(file, fileIndex: number)
      guard let found = part.split, found.number == number, found.count == split.count else {
        throw Failure(
          .mismatch, partPath, at: "key split.no",
          "is not part \(number + 1) of \(split.count) that its name says it is",
          remedy: "Download all parts together again")
      }
      for (name, tensor) in part.tensors {
        if let other = tensors.updateValue(tensor, forKey: name) {
          throw Failure(
            .malformed, partPath, at: "tensor \(TensorPlacement.printable(name))",
            "stands twice: part \(other.file + 1) holds it too",
            remedy: "Download all parts together again")
        }
      }
      if number == 0 { metadata = part.metadata }
      files.append(file)
    }
    if let expected = split.tensorCount, expected != tensors.count {
      throw Failure(
        .mismatch, path, at: "key split.tensors.count",
        "says \(expected) tensors, where all parts together have \(tensors.count)",
        remedy: "Download all parts together again")
    }
    self.files = files
    self.tensors = tensors
    self.metadata = metadata
  }

  static func ending(_ number: Int, _ count: Int) -> String {
    func digits(_ value: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(0, 5 - text.count)) + text
    }
    return "-\(digits(number))-of-\(digits(count)).gguf"
  }

  private static func stem(_ path: String, number: Int, count: Int) -> String? {
    let ending = ending(number, count)
    return path.hasSuffix(ending) ? String(path.dropLast(ending.count)) : nil
  }

  /// The first part, where all these names are parts of one split.
  static func firstPart(_ names: [String]) -> String? {
    let first = names.sorted().first { $0.contains("-00001-of-") }
    guard let first, let stem = first.range(of: "-00001-of-").map({ first[..<$0.lowerBound] }),
      names.allSatisfy({ $0.hasPrefix(stem + "-") && $0.contains("-of-") })
    else { return nil }
    return first
  }
}

extension String {
  /// The first place where a text stands.
  fileprivate func range(of text: String) -> Range<String.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) {
        return start..<index(start, offsetBy: text.count)
      }
      start = index(after: start)
    }
    return nil
  }
}
