import Support

/// Reads tokenizer.json without building a tree of its two large parts: vocabulary and merges go
/// from the file's bytes straight into their tables; they are then blanked out and the small rest
/// is parsed as JSON.
struct TokenizerFile {
  private(set) var tables: ModelTables
  private(set) var document: JSONValue

  init(_ bytes: consuming [UInt8], subject: String) throws(Failure) {
    do { _ = try UTF8Span(validating: bytes.span) } catch {
      throw Failure(.malformed, subject, "not valid JSON: invalid UTF-8")
    }
    // A token with its id takes at least five bytes of the file.
    var tables = ModelTables(subject: subject, entries: bytes.count / 5)
    let spans = try bytes.withUnsafeBufferPointer { (bytes) throws(Failure) -> [Range<Int>] in
      var scanner = JSONScanner(bytes, subject: subject)
      guard let model = try scanner.members(["model"])["model"] else { return [] }
      scanner.move(to: model.lowerBound)
      let parts = try scanner.members(["vocab", "merges"])
      guard let vocab = parts["vocab"], let merges = parts["merges"] else { return [] }
      scanner.move(to: vocab.lowerBound)
      guard try Self.readVocabulary(&scanner, into: &tables) else { return [] }
      scanner.move(to: merges.lowerBound)
      guard try Self.readMerges(&scanner, into: &tables) else { return [] }
      return [vocab, merges]
    }
    for span in spans {
      for at in span.dropFirst().dropLast() { bytes[at] = UInt8(ascii: " ") }
    }
    document = try JSONValue.parse(bytes, subject: subject)
    if spans.isEmpty {
      // Nothing to stream: the general reader says what is wrong.
      let root = Configuration(value: document, subject: subject, place: "")
      tables = ModelTables(subject: subject, entries: bytes.count / 5)
      try tables.read(try root.required("model"))
    }
    self.tables = tables
  }

  private static func readVocabulary(_ scanner: inout JSONScanner, into tables: inout ModelTables)
    throws(Failure) -> Bool
  {
    if scanner.peek == UInt8(ascii: "[") {
      var id = 0
      try scanner.elements { (scanner) throws(Failure) in
        try scanner.string { (token) throws(Failure) in try tables.addToken(token, id: id) }
        id += 1
      }
      return true
    }
    guard scanner.peek == UInt8(ascii: "{") else { return false }
    try scanner.eachMember { (scanner, token) throws(Failure) in
      try tables.addToken(token, id: try scanner.integer())
    }
    return true
  }

  private static func readMerges(_ scanner: inout JSONScanner, into tables: inout ModelTables)
    throws(Failure) -> Bool
  {
    guard scanner.peek == UInt8(ascii: "[") else { return false }
    var pair: [UInt8] = []
    try scanner.elements { (scanner) throws(Failure) in
      guard scanner.peek == UInt8(ascii: "[") else {
        try scanner.string { (text) throws(Failure) in try tables.addMerge(spelled: text) }
        return
      }
      pair.removeAll(keepingCapacity: true)
      var split = 0
      var count = 0
      try scanner.elements { (scanner) throws(Failure) in
        split = pair.count
        try scanner.string { (text) throws(Failure) in pair.append(contentsOf: text) }
        count += 1
      }
      guard count == 2 else { throw tables.malformedMerge() }
      try pair.withUnsafeBufferPointer { (pair) throws(Failure) in
        try tables.addMerge(pair, split: split)
      }
    }
    return true
  }
}
