import Support

/// Collects the two large parts of a tokenizer file, vocabulary and merges.
struct ModelTables {
  private(set) var vocabulary = Vocabulary()
  private(set) var merges: [(left: UInt32, right: UInt32, whole: UInt32)] = []
  let subject: String
  /// Ids from here on are refused; keeps one lying id from costing gigabytes.
  private let idLimit: Int

  /// - Parameter entries: upper bound for the count of tokens.
  init(subject: String, entries: Int) {
    self.subject = subject
    idLimit = min(Vocabulary.maximumID, 65536 + entries * 2)
  }

  private func malformed(_ place: String, _ problem: String) -> Failure {
    Failure(
      .malformed, subject, at: place, problem,
      remedy: "Take tokenizer.json again from the model's publisher")
  }

  mutating func addToken(_ token: UnsafeBufferPointer<UInt8>, id: Int?) throws(Failure) {
    func name() -> String { String(decoding: token, as: UTF8.self) }
    guard let id else { throw malformed("model.vocab", "the id of \"\(name())\" is no integer") }
    do throws(Vocabulary.Conflict) {
      try vocabulary.add(token, id: id, kind: .model, idLimit: idLimit)
    } catch {
      switch error {
      case .token: throw malformed("model.vocab", "the token \"\(name())\" stands twice")
      case .id: throw malformed("model.vocab", "the id \(id) stands twice")
      case .tooLarge:
        throw malformed("model.vocab", "the id \(id) of \"\(name())\" is out of range")
      }
    }
  }

  /// Adds a merge whose halves stand one after the other in `text`.
  mutating func addMerge(_ text: UnsafeBufferPointer<UInt8>, split: Int) throws(Failure) {
    let halves = [text[..<split], text[split...]]
    var ids: [UInt32] = []
    for part in halves.map({ UnsafeBufferPointer(rebasing: $0) }) + [text] {
      guard let id = vocabulary.id(part) else {
        throw malformed(
          "model.merges[\(merges.count)]",
          "\"\(String(decoding: part, as: UTF8.self))\" is not in the vocabulary")
      }
      ids.append(UInt32(id))
    }
    merges.append((ids[0], ids[1], ids[2]))
  }

  /// Adds a merge spelled `left right`.
  mutating func addMerge(spelled text: UnsafeBufferPointer<UInt8>) throws(Failure) {
    let space = UInt8(ascii: " ")
    guard let split = text.firstIndex(of: space), text.count(where: { $0 == space }) == 1 else {
      throw malformedMerge()
    }
    var joined = Array(text)
    joined.remove(at: split)
    try joined.withUnsafeBufferPointer { (joined) throws(Failure) in
      try addMerge(joined, split: split)
    }
  }

  func malformedMerge() -> Failure {
    malformed("model.merges[\(merges.count)]", "a merge is two tokens with a space between them")
  }

  /// Whether the vocabulary has this token under its id, or neither.
  func canAdd(_ token: AddedToken) -> Bool {
    let id = Int(token.id)
    let known = token.content.withUnsafeBufferPointer { vocabulary.id($0) }
    return known == id || known == nil && !vocabulary.contains(id)
  }

  /// Registers an added token, which may stand in the vocabulary too, under the same id.
  mutating func add(_ token: AddedToken, at configuration: Configuration) throws(Failure) {
    var kind: Vocabulary.Kind = [.added]
    if token.isSpecial { kind.insert(.special) }
    let id = Int(token.id)
    do throws(Vocabulary.Conflict) {
      try token.content.withUnsafeBufferPointer { (content) throws(Vocabulary.Conflict) in
        try vocabulary.add(content, id: id, kind: kind, idLimit: idLimit)
      }
    } catch {
      if vocabulary.bytes(id).elementsEqual(token.content), vocabulary.contains(id) {
        vocabulary.insert(kind, id: id)
        return
      }
      let name = String(decoding: token.content, as: UTF8.self)
      switch error {
      case .token(let other):
        throw configuration.malformed("\"\(name)\" has the id \(id) here and \(other) elsewhere")
      case .id: throw configuration.malformed("the id \(id) belongs to another token already")
      case .tooLarge: throw configuration.malformed("the id \(id) is out of range")
      }
    }
  }

  mutating func trim() { vocabulary.trim() }
}

extension ModelTables {
  /// Reads `model.vocab` and `model.merges` out of a parsed document.
  mutating func read(_ model: Configuration) throws(Failure) {
    let vocab = try model.required("vocab")
    if let members = vocab.value.object?.members {
      for (token, id) in members {
        let integer: Int? = if case .integer(let value) = id { value } else { nil }
        try Self.withBytes(token) { (bytes) throws(Failure) in
          try addToken(bytes, id: integer)
        }
      }
    } else {
      for (id, token) in try vocab.elements().enumerated() {
        try Self.withBytes(try token.string()) { (bytes) throws(Failure) in
          try addToken(bytes, id: id)
        }
      }
    }
    for merge in try model.required("merges").elements() {
      if let text = merge.value.string {
        try Self.withBytes(text) { (bytes) throws(Failure) in try addMerge(spelled: bytes) }
        continue
      }
      let halves = try merge.elements()
      guard halves.count == 2 else { throw malformedMerge() }
      let left = try halves[0].string()
      try Self.withBytes(left + (try halves[1].string())) { (bytes) throws(Failure) in
        try addMerge(bytes, split: left.utf8.count)
      }
    }
  }

  private static func withBytes(
    _ text: String, _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Void
  ) throws(Failure) {
    try Array(text.utf8).withUnsafeBufferPointer { (bytes) throws(Failure) in try body(bytes) }
  }
}
